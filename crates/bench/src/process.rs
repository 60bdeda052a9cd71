//! What the system says of processes, by `/proc`: where there is none, as on macOS, nothing is known.

use std::{fs, time::Duration};

/// One line of `/proc/<pid>/stat` (proc(5)).
struct Stat {
    pid: u32,
    name: String,
    parent: u32,
    /// Clock ticks in user and kernel mode, with those of children that have ended and were waited for.
    ticks: u64,
    /// Those of the children alone.
    ended: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &text)
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        // The name may hold anything, parentheses too; state is the first field behind it, the third of the line.
        let (before, after) = text.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<_> = after.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let [ticks, ended] = [14..=17, 16..=17].map(|fields| fields.map(number).sum::<Option<u64>>());
        Some(Self { pid, name, parent: u32::try_from(number(4)?).ok()?, ticks: ticks?, ended: ended? })
    }
}

/// The direct children of this process, by the name of their programs.
pub(crate) fn children() -> Vec<(String, u32)> {
    let own = std::process::id();
    all().into_iter().filter(|stat| stat.parent == own).map(|stat| (stat.name, stat.pid)).collect()
}

/// The processor time that `root` and everything below it have taken so far, in clock ticks' precision.
pub(crate) fn cpu(root: u32) -> Option<Duration> {
    let tree = tree(root);
    let ticks: u64 = tree.iter().map(|stat| stat.ticks).sum();
    (!tree.is_empty()).then(|| duration(ticks))
}

/// The processor time of the children of this process that have ended and were waited for.
pub(crate) fn ended() -> Option<Duration> {
    Stat::read(std::process::id()).map(|own| duration(own.ended))
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

/// The memory of `root` and everything below it in bytes, pages shared by several processes in equal parts (PSS).
pub(crate) fn memory(root: u32) -> Option<u64> {
    let pss = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let known: Vec<_> = tree(root).iter().filter_map(|stat| pss(stat.pid)).collect();
    (!known.is_empty()).then(|| known.iter().sum::<u64>() * 1024)
}

fn tree(root: u32) -> Vec<Stat> {
    let (mut tree, mut others): (Vec<_>, Vec<_>) = all().into_iter().partition(|stat| stat.pid == root);
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|stat| stat.parent == parent);
        parents.extend(found.iter().map(|stat| stat.pid));
        tree.extend(found);
        others = rest;
    }
    tree
}

fn all() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Stat::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read() {
        let line = "42 (odd) name) S 7 42 42 0 -1 4194560 1 0 0 0 11 22 33 44 20 0 1 0 100";
        let stat = Stat::parse(42, line).unwrap();
        assert_eq!((stat.name.as_str(), stat.parent, stat.ticks, stat.ended), ("odd) name", 7, 110, 77));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_is_found_and_counted_with_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children().iter().any(|(_, pid)| *pid == child.id()));
        assert!(memory(std::process::id()).unwrap() > memory(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(cpu(child.id()), None);
    }
}
