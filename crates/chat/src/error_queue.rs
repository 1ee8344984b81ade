//! The error queue of a Linux socket (`MSG_ERRQUEUE` of recv(2)): with `IP_RECVERR`, UDP
//! puts ICMP errors there; with `SO_TIMESTAMPING`, any socket the times of its packets.

use crate::endpoint::Endpoint;

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Endpoint {
    /// Empties the queue, which no usual call does: the poller would report it for ever.
    pub(crate) fn discard_errors(&self) {
        use socket2::Domain;

        use crate::wire::retry;

        const MSG_ERRQUEUE: i32 = 0x2000;
        /// The next turn goes on.
        const AT_ONCE: usize = 64;

        let Some(socket) = self.wire.socket() else {
            return;
        };
        // A Unix socket, which has no such queue, would read its input, or take its error.
        if !matches!(socket.domain(), Ok(Domain::IPV4 | Domain::IPV6)) {
            return;
        }
        let discarded = (0..AT_ONCE)
            .take_while(|_| retry(|| socket.recv_with_flags(&mut [], MSG_ERRQUEUE)).is_ok())
            .count();
        if discarded > 0 {
            log::debug!(
                "channel {}: the socket's error queue was discarded",
                self.me
            );
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Endpoint {
    /// Other systems have no such queue.
    pub(crate) fn discard_errors(&self) {}
}
