// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// What carries out one request: a replica's connection, a process, or a local responder.
///
/// It lives on the exchange's event loop, and both call each other directly. An origin answers by the exchange's
/// `answer…` methods; after `answerEnded` or `failed` it says nothing more, and after `abandon` it hears nothing more.
package protocol Origin: AnyObject {
    /// Whether more of the request's body may be handed over now.
    var isWritable: Bool { get }

    /// Takes a piece of the body.
    func takeBody(_ piece: ByteBuffer)

    /// The body is complete.
    func endBody(trailers: ByteBuffer?)

    /// Everything handed over since the last call goes out.
    func flush()

    /// The client has room again for more of the answer.
    func resumeAnswer()

    /// The call is over: its client is gone, or its deadline has passed.
    func abandon()
}
