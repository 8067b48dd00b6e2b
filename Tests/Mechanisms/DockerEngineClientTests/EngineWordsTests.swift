// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import NIOCore
import Testing

@testable import DockerEngineClient

struct EngineWordsTests {
    // MARK: Where it is

    @Test func `without a variable the engine is this machine's`() throws {
        #expect(try DockerEndpoint(environment: [:]).description == "unix:///var/run/docker.sock")
        #expect(try DockerEndpoint(environment: ["DOCKER_HOST": ""]).description == "unix:///var/run/docker.sock")
    }

    @Test(arguments: [
        ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
        ("tcp://10.1.2.3:2375", "tcp://10.1.2.3:2375"), ("tcp://engine.example", "tcp://engine.example:2375"),
        ("http://engine.example:1", "tcp://engine.example:1"),
    ])
    func `a variable says where it is`(host: String, address: String) throws {
        #expect(try DockerEndpoint(environment: ["DOCKER_HOST": host]).description == address)
    }

    @Test(arguments: ["ssh://me@host", "npipe:////./pipe/docker", "nonsense", "tcp://", "unix://relative"])
    func `what cannot be spoken to is refused`(host: String) {
        #expect(throws: PlatformFault.self) { try DockerEndpoint(environment: ["DOCKER_HOST": host]) }
    }

    @Test func `certificates that are not there are told`() {
        let variables = ["DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere"]
        #expect {
            try DockerEndpoint(environment: variables)
        } throws: {
            ($0 as? PlatformFault)?.hint?.contains("DOCKER_CERT_PATH") == true
        }
    }

    // MARK: Moments

    @Test(arguments: [
        ("2026-01-01T00:00:00.5Z", "1767225600.500000001"), ("2026-01-01T00:00:00.999999999Z", "1767225601.000000000"),
        ("1969-12-31T23:59:59Z", "0.000000001"), ("2262-04-11T23:47:16.854775807Z", "9223372036.854775807"),
    ])
    func `a log goes on behind its last moment, whatever that was`(last: String, next: String) throws {
        #expect(DockerEngine.moment(behind: try #require(Timestamp(last))) == next)
    }

    // MARK: Versions

    @Test(arguments: [
        ("1.41", "1.12", "1.41"), ("1.47", "1.24", "1.47"), ("1.52", "1.44", "1.51"), ("1.99", "", "1.51"),
    ])
    func `the newest version that both know is spoken`(api: String, oldest: String, spoken: String) throws {
        #expect(try version(api, oldest).agreed().description == spoken)
    }

    @Test(arguments: [("1.40", "1.12"), ("1.99", "1.60"), ("", ""), ("one.two", ""), ("1", "")])
    func `an engine that is too old, too new or none is refused`(api: String, oldest: String) {
        #expect(throws: EngineFault.self) { try version(api, oldest).agreed() }
    }

    private func version(_ api: String, _ oldest: String) -> EngineVersion {
        var version = EngineVersion()
        (version.api, version.oldestAPI) = (api, oldest)
        return version
    }

    // MARK: Logs

    private func frame(_ kind: UInt8, _ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return [kind, 0, 0, 0, 0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)] + bytes
    }

    @Test(arguments: [1, 3, 7, 1000])
    func `frames are found, however small the pieces are`(size: Int) throws {
        let all = frame(1, "2026-11-29T17:10:30.783643331Z hello\n") + frame(2, "no time\n") + frame(1, "")
        var (frames, found) = (LogFrames(), [LogFrame]())
        for start in stride(from: 0, to: all.count, by: size) {
            frames.add(ByteBuffer(bytes: all[start..<min(start + size, all.count)]))
            while let frame = try frames.next() { found.append(frame) }
        }
        #expect(found.map { String(buffer: $0.bytes) } == ["hello\n", "no time\n", ""])
        #expect(found.map(\.stream) == [.output, .error, .output])
        #expect(found[0].time == Timestamp("2026-11-29T17:10:30.783643331Z") && found[1].time == nil)
    }

    @Test(arguments: [[9, 0, 0, 0, 0, 0, 0, 1, 65], [1, 0, 0, 0, 255, 255, 255, 255, 65]] as [[UInt8]])
    func `what has no frames is told`(bytes: [UInt8]) {
        var frames = LogFrames()
        frames.add(ByteBuffer(bytes: bytes))
        #expect(throws: EngineFault.self) { try frames.next() }
    }

    // MARK: Answers

    @Test func `ports and addresses are read, also where there are none`() throws {
        let text = """
            {"Id": "a", "State": {"Status": "running", "Running": true, "OOMKilled": false, "ExitCode": 0,
            "StartedAt": "2026"}, "NetworkSettings": {"Ports": {"8080/tcp": [{"HostIp": "127.77.0.1",
            "HostPort": "32768"}, {"HostIp": "::", "HostPort": ""}], "9/udp": null},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2", "Gateway": "172.17.0.1"}}}}
            """
        let details = try JSONDecoder().decode(ContainerDetails.self, from: Data(text.utf8))
        #expect(details.ports["8080/tcp"]?.map(\.hostPort) == [32_768, 0] && details.ports["9/udp"] == nil)
        #expect(details.networks["bridge"]?.gateway == "172.17.0.1")
    }

    @Test func `memory is without what could be dropped at once, in the words of either version of groups`() throws {
        for (key, expected) in [("total_inactive_file", 60), ("inactive_file", 60), ("other", 100)]
            as [(String, UInt64)]
        {
            let text =
                #"{"cpu_stats": {"cpu_usage": {"total_usage": 7}}, "memory_stats": {"usage": 100, "stats": {"\#(key)": 40}}}"#
            let sample = try JSONDecoder().decode(ContainerSample.self, from: Data(text.utf8))
            #expect(sample.memoryBytes == expected && sample.cpuNanoseconds == 7)
        }
        let stopped = try JSONDecoder().decode(ContainerSample.self, from: Data(#"{"memory_stats": {}}"#.utf8))
        #expect(stopped.memoryBytes == nil && stopped.cpuNanoseconds == 0)
    }

    @Test func `a login is sent in the alphabet for URLs, and never printed`() throws {
        let login = RegistryCredentials(username: "a?>", password: "\u{FB}\u{FF}~~", serverAddress: "h")
        #expect(!login.header.contains("+") && !login.header.contains("/") && "\(login)" == "***")
    }
}
