//! The surrogate as a process of its own: `flame-vcdn [CONFIG.toml]`.

fn main() {}
