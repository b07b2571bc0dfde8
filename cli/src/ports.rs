//! Who listens on a port: what a person wants to know when it is busy. Linux's `/proc` tells.

use std::fs;
use std::net::SocketAddr;

/// The state `LISTEN` in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Its name and id, or that it cannot be seen from here.
    pub description: String,
}

/// Who listens on the port of `address`; `None` when nobody does.
pub fn occupant(address: SocketAddr) -> Option<Occupant> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listener_inode(table, address.port()))?;
    let description = process_of(&inode).unwrap_or_else(|| "a process of another user".to_owned());
    Some(Occupant { description })
}

/// The inode of the socket that listens on `port`, from a table in the format of proc(5).
fn listener_inode(table: &str, port: u16) -> Option<String> {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&wanted) && *state == LISTEN).then(|| (*inode).to_owned())
    })
}

fn process_of(inode: &str) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str());
        if files.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = occupant(address).unwrap().description;
        assert!(found.contains(&format!("process {}", std::process::id())), "{found}");
        drop(listener);
        assert_eq!(occupant(address), None);
    }
}
