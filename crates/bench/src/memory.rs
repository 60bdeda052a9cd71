//! The memory of each process (PSS: pages that several have count in equal parts).

use crate::{
    fleet::{Fleet, Service},
    process,
    report::{Report, float},
};

/// The name of a process and its memory in bytes.
pub(crate) type Memory = Vec<(&'static str, u64)>;

/// That of all processes that run now.
pub(crate) fn all(fleet: &Fleet) -> Memory {
    let known = |(name, pid): (&'static str, u32)| Some((name, process::memory(pid)?));
    fleet.processes().into_iter().filter_map(known).collect()
}

/// The larger value of each process.
pub(crate) fn larger(mut one: Memory, other: Memory) -> Memory {
    for (name, bytes) in other {
        match one.iter_mut().find(|(found, _)| *found == name) {
            Some((_, known)) => *known = bytes.max(*known),
            None => one.push((name, bytes)),
        }
    }
    one
}

/// Figures named after `what` was going on meanwhile, and the sum of the services'.
pub(crate) fn figures(what: &str, memory: Memory, report: &mut Report) {
    let is_service = |name: &str| Service::ALL.iter().any(|service| service.name() == name);
    let mut services = 0.0;
    for (name, bytes) in memory {
        let mebibytes = float(bytes) / f64::from(1 << 20);
        if is_service(name) {
            services += mebibytes;
        }
        report.figure(format!("{what}: memory of {name} (PSS)"), mebibytes, "MiB");
    }
    if services > 0.0 {
        report.figure(format!("{what}: memory of all services (PSS)"), services, "MiB");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_value_of_each_is_kept() {
        assert_eq!(
            larger(vec![("a", 1), ("b", 5)], vec![("b", 4), ("a", 2), ("c", 3)]),
            [("a", 2), ("b", 5), ("c", 3)]
        );
    }

    #[test]
    fn stores_do_not_count_as_services() {
        let mut report = Report::new(crate::report::Setting::own());
        figures("idle", vec![("auth", 2 << 20), ("postgresql", 50 << 20), ("lms", 3 << 20)], &mut report);
        assert_eq!(report.value("idle: memory of all services (PSS)"), Some(5.0));
    }
}
