// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Testing

struct UnixURLTests {
    @Test(arguments: [
        ("unix:///run/martlet.sock", "/run/martlet.sock"), ("unix:/run/m.sock", "/run/m.sock"),
        ("unix:///a%20b", "/a%20b"), ("http+unix://%2Frun%2Fm.sock", "/run/m.sock"),
        ("http+unix://%2Frun%2Fm%20m.sock/", "/run/m m.sock"), ("unix:///ä/ö", "/ä/ö"),
    ])
    func `the path of a socket is read, as people and as HTTP clients write it`(text: String, path: String) {
        let url = UnixURL(text)
        #expect(url?.path == path)
        #expect(url.map { UnixURL($0.text) } == url && url.map { UnixURL($0.httpBase) } == url)
    }

    @Test(arguments: [
        "", "unix:", "unix://", "unix:///", "unix://run/m.sock", "unix:run", "unix:@abstract", "unix:///run/",
        "unix:///a\nb", "unix:///a\0b", "http+unix://run", "http+unix://%2Fa/b", "http+unix://%2Fa%00", "/run/m.sock",
        "http://127.0.0.1:8080", "unix:///" + String(repeating: "x", count: 107),
    ])
    func `what is no absolute path that a socket can have is none`(text: String) { #expect(UnixURL(text) == nil) }

    @Test func `what HTTP clients are told holds nothing that they could misread`() {
        #expect(UnixURL("unix:///run/a b?#ä.sock")?.httpBase == "http+unix://%2Frun%2Fa%20b%3F%23%C3%A4.sock")
    }
}
