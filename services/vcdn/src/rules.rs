//! What a shared cache may do: decisions of RFC 9111 and its companions as functions of values. No clock, no socket.
