// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Testing

struct HTMLTextTests {
    @Test func `nothing in a text is taken for markup, and the rest stays as it is`() {
        #expect(
            HTMLText.escaped("<a href=\"x\" id='y'>&amp;</a>")
                == "&lt;a href=&#34;x&#34; id=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;"
        )
        #expect(HTMLText.escaped("Grüße 👋🏽") == "Grüße 👋🏽")
    }
}
