// SPDX-License-Identifier: Apache-2.0

import InvocationEngine
import Synchronization

/// The place of the API's routes behind the front door: each needs the other, and the door is made first.
///
/// Filled before anybody listens.
final class RouteSlot: LocalResponder {
    private let responder = Mutex<(any LocalResponder)?>(nil)

    func fill(_ responder: any LocalResponder) { self.responder.withLock { $0 = responder } }

    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        await responder.withLock { $0 }?.respond(to: request, body: body, writer: writer)
    }
}
