//! Who and what is in the tables: everything is numbered, and `fill/functions.sql` knows the ids that belong to the numbers.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// How much there is of what.
#[derive(Debug, Clone)]
pub(super) struct Population {
    pub(super) users: i64,
    pub(super) seed: u64,
}

/// The number of the user who is ADMIN of the large organisation.
pub(super) const LARGE_ADMIN: i64 = 19;
/// The number of the user who has run a tenth as many AI flows as all others together.
pub(super) const HEAVY: i64 = 1;

impl Population {
    pub(super) fn new(users: i64, seed: u64) -> Self {
        Self { users, seed }
    }

    /// Courses: one for 100 users.
    pub(super) fn courses(&self) -> i64 {
        (self.users / 1000).max(2) * 10
    }

    /// Events that analytics has applied.
    pub(super) fn events(&self) -> i64 {
        self.users * 10
    }

    /// How many rows (or groups of rows) a fill makes that is written for each `unit`; none for an unknown one.
    pub(super) fn count(&self, unit: &str) -> Option<i64> {
        Some(match unit {
            "user" => self.users,
            "course" => self.courses(),
            "event" => self.events(),
            "run" => self.users + self.users / 10,
            "skill" => 200,
            "organisation" => (self.users / 100).max(1),
            "instructor" => self.courses() / 5,
            _ => return None,
        })
    }

    /// Up to `count` different users, drawn at random, without those that `leave_out` names.
    pub(super) fn draw(&self, count: usize, leave_out: impl Fn(i64) -> bool) -> Vec<i64> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut drawn = std::collections::BTreeSet::new();
        let mut list = Vec::new();
        // Small sizes have fewer users than are asked for.
        for _ in 0..count * 20 {
            let number = random.random_range(1..=self.users);
            if list.len() < count && !leave_out(number) && drawn.insert(number) {
                list.push(number);
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_drawn_once_each_and_the_same_for_the_same_seed() {
        let population = Population::new(100, 7);
        let drawn = population.draw(60, |number| number % 10 == 5);
        assert_eq!(drawn, Population::new(100, 7).draw(60, |number| number % 10 == 5));
        let different: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!((drawn.len(), different.len()), (60, 60));
        assert!(drawn.iter().all(|number| number % 10 != 5 && (1..=100).contains(number)));
    }

    #[test]
    fn there_are_tens_of_courses_at_every_size() {
        for users in [100, 1_234, 1_000_000] {
            assert_eq!(Population::new(users, 1).courses() % 10, 0);
        }
    }
}
