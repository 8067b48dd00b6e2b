// SPDX-License-Identifier: Apache-2.0

import FaultModel
import RuntimeSettings
import Testing

/// A section that nothing but these tests knows.
private struct TankSettings: SettingsSection {
    enum Liquid: String, CaseIterable {
        case water
        case oil
    }

    static let name: String? = "tank"

    let litres: Int
    let limit: Int?
    let refill: Duration
    let liquid: Liquid
    let label: String?
    let seal: (String, String)?

    init(_ reader: inout SettingsReader) {
        litres = reader.number(Setting("litres", also: ["LITRES"], default: "10", "How much, in l."), in: 1...50)
        limit = reader.number(Setting("limit", default: "off", "Most that goes in, in l; off."), in: 1...50, or: "off")
        refill = reader.duration(Setting("refill", default: "1m", "How often it is filled."))
        liquid = reader.word(Setting("liquid", short: "what", default: "water", "What is in it."))
        label = reader.optionalText(Setting("label", "What stands on it."))
        seal = reader.pair(Setting("seal", "Above."), Setting("lock", "Below."))
    }
}

struct SettingsReaderTests {
    private func tank(
        flags: [String: String] = [:],
        environment: [String: String] = [:],
        file: String? = nil
    ) throws -> (tank: TankSettings, readings: [SettingReading]) {
        var reader = SettingsReader(flags: flags, environment: environment, readFile: { _ in file })
        reader.open("martlet.yaml")
        let tank: TankSettings = reader.section()
        try reader.finish()
        return (tank, reader.readings)
    }

    @Test func `a section needs nothing but its own declarations`() throws {
        #expect(
            TankSettings.readings.map(\.setting.name) == [
                "litres", "limit", "refill", "liquid", "label", "seal", "lock",
            ]
        )
        #expect(TankSettings.readings.allSatisfy { $0.section == "tank" && $0.source == .fallback })
        #expect(TankSettings.readings[0].setting.variables == ["MARTLET_LITRES", "LITRES"])
        let read = try tank(flags: ["limit": "20"], environment: ["LITRES": "5"], file: "tank: {what: oil}\nrefill: 2m")
        #expect(read.tank.litres == 5 && read.tank.limit == 20 && read.tank.refill == .seconds(120))
        #expect(read.tank.liquid == .oil && read.tank.label == nil && read.tank.seal == nil)
        #expect(
            read.readings.map(\.source) == [
                .environment("LITRES"), .flag, .file, .file, .fallback, .fallback, .fallback,
            ]
        )
    }

    @Test(arguments: [
        ("litres: 51", "litres = \"51\" (martlet.yaml) is not a whole number 1 to 50."),
        ("limit: none", "limit = \"none\" (martlet.yaml) is not a whole number 1 to 50, nor off."),
        ("refill: 0", "refill = \"0\" (martlet.yaml) must be more than 0."),
        ("refill: soon", "refill = \"soon\" (martlet.yaml) is not a duration, as 30s or 1m30s."),
        ("liquid: beer", "liquid = \"beer\" (martlet.yaml) is none of: water, oil."),
        ("lock: x", "seal = \"\" (default) is missing: both of seal and lock are needed."),
        ("what: oil", "the setting \"what\" does not exist"),
        ("tank: {litre: 1}", "below \"tank\" does not exist; did you mean \"litres\"?"),
        ("tank-litres: 1", "write its settings below \"tank\"."), ("tank: 1", "\"tank\" is a section"),
        ("tank: {liquid: oil, what: oil}", "\"what\" below \"tank\" is there twice."),
        ("[a", "martlet.yaml is not YAML"), ("[litres: 1]", "martlet.yaml names no settings"),
        ("litres", "martlet.yaml names no settings"), ("12", "martlet.yaml names no settings"),
    ]) func `what is wrong is told in a sentence`(file: String, sentence: String) {
        let fault = #expect(throws: PlatformFault.self) { try tank(file: file) }
        #expect(fault?.code == .badSettings && fault?.message.contains(sentence) == true, "\(fault?.message ?? "")")
        #expect(fault?.message.contains("?.") == false)
    }

    @Test(arguments: ["", "# nothing", "---", "~"]) func `a file that says nothing sets nothing`(file: String) throws {
        #expect(try tank(file: file).tank.litres == 10)
    }

    @Test(arguments: [UnreadableFile.closed, .notText])
    func `a file that is there and cannot be read is told`(why: UnreadableFile) {
        var reader = SettingsReader(readFile: { _ throws(UnreadableFile) in throw why })
        reader.open("martlet.yaml")
        let fault = #expect(throws: PlatformFault.self) { try reader.finish() }
        #expect(fault?.message.contains("  - martlet.yaml \(why).") == true)
    }
}
