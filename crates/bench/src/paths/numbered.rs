//! Ids that follow from a number, so that scripts of other programs can name the same things.

use uuid::Uuid;

/// What an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user whom only the yardstick knows.
    User = 1,
    /// The tenant of such a user.
    Tenant,
    Instructor,
    Course,
    Module,
    Lesson,
    /// A goal's name.
    Goal,
    /// Something that a yardstick's transaction makes.
    Made,
}

impl Kind {
    /// What the ids of the kind begin with; twelve hexadecimal digits of the number follow.
    pub(super) fn prefix(self) -> String {
        format!("01900000-{:04x}-7000-8000-", self as u16)
    }

    /// The id of a number.
    pub(super) fn id(self, number: u64) -> Uuid {
        Uuid::from_u64_pair(0x0190_0000_0000_7000 | (self as u64) << 16, 0x8000 << 48 | number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_prefix_and_its_number() {
        let text = Kind::Lesson.id(0xabc).to_string();
        assert_eq!(text, "01900000-0006-7000-8000-000000000abc");
        assert_eq!(text, format!("{}{:012x}", Kind::Lesson.prefix(), 0xabc));
    }
}
