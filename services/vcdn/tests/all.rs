//! The surrogate on real sockets.
