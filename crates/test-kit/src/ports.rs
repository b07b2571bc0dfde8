//! Ports that are free right now, for programs that cannot be told to listen on port 0 and say what they got.
//!
//! Another process may take one between the answer and its use: what can bind port 0 itself should.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// `N` different TCP ports that are free on loopback.
///
/// # Panics
/// When the machine has none.
#[must_use]
pub fn free_tcp<const N: usize>() -> [u16; N] {
    // All are held until the last one is known, so that they differ.
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free TCP port on loopback"));
    held.each_ref().map(|listener| listener.local_addr().expect("a bound listener has an address").port())
}

/// `N` different UDP ports that are free on loopback.
///
/// # Panics
/// When the machine has none.
#[must_use]
pub fn free_udp<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free UDP port on loopback"));
    held.each_ref().map(|socket| socket.local_addr().expect("a bound socket has an address").port())
}
