// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Testing

@testable import FunctionModel

/// What people may see of texts from outside: never what may be a password.
struct ShownTextTests {
    @Test(arguments: [
        ("http//a:secret@h", "***@h"), ("http:/a:secret@h", "***@h"), ("http://http://a:secret@h", "http://***@h"),
        ("http://a:secret@h", "http://***@h"), ("a:se@cret@h:80", "***@h:80"),
    ])
    func `a text from outside is quoted without what may be a login`(text: String, shown: String) {
        #expect(ServerURL.withoutLogin(text) == shown)
        #expect(NameRule.printable(text) == shown)
    }

    @Test(arguments: ["unix:///run/a@b", "http://h:80/a", "me@h", "127.0.0.1:80", "", "@", ":"])
    func `what can be no login is quoted as it is`(text: String) {
        #expect(ServerURL.withoutLogin(text) == text && NameRule.printable(text) == text)
    }

    @Test func `a login that has got into the path is noticed`() {
        for text in ["http://http//a:secret@h", "http://http:/a:secret@h", "http://http://a:secret@h"] {
            #expect(ServerURL(text)?.hasMisplacedLogin == true, "\(text)")
        }
        #expect(ServerURL("http://a:secret@h:80/@me")?.hasMisplacedLogin == false)
    }

    @Test func `only a name that is hardly mistyped has a nearest one told`() {
        func hints(_ name: String) -> String {
            let deployment = FunctionDeployment(service: "env", image: "host", labels: [name: "1"])
            do throws(PlatformFault) { _ = try FunctionSpec(deployment) } catch { return "\(error)" }
            return ""
        }
        #expect(hints("com.martlet.queue.dept").contains("com.martlet.queue.depth"))
        #expect(!hints("com.martlet.some.thing.else").contains("nearest"))
    }
}
