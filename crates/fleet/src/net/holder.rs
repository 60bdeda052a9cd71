//! Which process listens on a port, read from Linux' `/proc`; elsewhere nobody is found.

use std::ffi::OsStr;
use std::fmt;
use std::fs;

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

impl Holder {
    /// Finds the process that listens on `port`; another user's process is only visible to root.
    pub fn of_port(port: u16) -> Option<Self> {
        let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .find_map(|table| listening_inode(&table, port))?;
        let socket = format!("socket:[{inode}]");
        let pid = fs::read_dir("/proc")
            .ok()?
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .find(|pid| has_open(*pid, &socket))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(Self { pid, name: name.trim().to_owned() })
    }
}

fn has_open(pid: u32, socket: &str) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
        files
            .filter_map(Result::ok)
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == OsStr::new(socket))
    })
}

/// The inode of the listening socket on `port` in the text of `/proc/net/tcp` (see proc(5)).
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        let matches = u16::from_str_radix(local_port, 16).is_ok_and(|local| local == port);
        (state == LISTEN && matches).then_some(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1538 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 20 4 30 10 -1\n   \
        1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100 0 0 10 0\n";

    #[test]
    fn only_the_listening_socket_of_the_port_counts() {
        assert_eq!(listening_inode(TABLE, 5432), Some(222));
        assert_eq!(listening_inode(TABLE, 40000), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn finds_this_process_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = Holder::of_port(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }
}
