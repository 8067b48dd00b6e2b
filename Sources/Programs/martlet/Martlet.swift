// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandLineTool

@main
enum Martlet {
    static func main() async {
        StandardStreams.open()
        await MartletCommand.main()
    }
}
