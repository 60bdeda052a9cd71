//! Paging of lists by opaque cursors.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Where a page starts and how long it is. Lists are ordered newest first, by time and then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The last row of the page before; `None` on the first.
    pub after: Option<Position>,
    /// 1 to 100.
    pub limit: i64,
}

/// A row's place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The time that the list is ordered by.
    pub time: DateTime<Utc>,
    /// The id that decides between equal times.
    pub id: Uuid,
}

impl Page {
    /// Reads `cursor` (empty on the first page) and `limit` (0 means 20).
    ///
    /// # Errors
    /// 400 naming `cursor` or `limit`.
    pub fn parse(cursor: &str, limit: i32) -> Result<Self> {
        let limit = match limit {
            0 => 20,
            1..=100 => i64::from(limit),
            _ => return Err(Error::invalid("limit", "must be from 1 to 100")),
        };
        let after = if cursor.is_empty() { None } else { Some(Position::decode(cursor)?) };
        Ok(Self { after, limit })
    }

    /// Where the rows of the page lie before: a place after every row on the first page. So one condition serves all pages,
    /// and PostgreSQL can begin reading there, which it does not where the condition is "no cursor, or before it".
    pub fn before(&self) -> Position {
        /// The end of the year 9999, in seconds since 1970.
        const NEVER: i64 = 253_402_300_799;
        let never = || Position { time: DateTime::from_timestamp(NEVER, 0).unwrap_or_default(), id: Uuid::max() };
        self.after.unwrap_or_else(never)
    }

    /// How many rows to read: one more than the page has, which tells whether another page follows.
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Cuts what was read down to the page; with the cursor of the next one, empty on the last.
    pub fn cut<T>(&self, mut rows: Vec<T>, position: impl FnOnce(&T) -> Position) -> (Vec<T>, String) {
        let limit = usize::try_from(self.limit).unwrap_or_default();
        if rows.len() <= limit {
            return (rows, String::new());
        }
        rows.truncate(limit);
        let cursor = rows.last().map(|row| position(row).encode()).unwrap_or_default();
        (rows, cursor)
    }
}

impl Position {
    /// The cursor of the page after this row.
    pub fn encode(&self) -> String {
        let mut bytes = self.time.timestamp_micros().to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(cursor: &str) -> Result<Self> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (time, id) = bytes.split_at_checked(8)?;
            let time = DateTime::from_timestamp_micros(i64::from_be_bytes(time.try_into().ok()?))?;
            Some(Self { time, id: Uuid::from_slice(id).ok()? })
        };
        read().ok_or_else(|| Error::invalid("cursor", "must be the next_cursor of an earlier answer"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_finds_its_row_again(micros in 0_i64..4_000_000_000_000_000, id: u128) {
            let position = Position {
                time: DateTime::from_timestamp_micros(micros).unwrap(),
                id: Uuid::from_u128(id),
            };
            prop_assert_eq!(Page::parse(&position.encode(), 5).unwrap().after, Some(position));
        }

        #[test]
        fn any_other_text_is_refused_by_name(cursor in "[^\0]{1,40}") {
            if let Err(error) = Page::parse(&cursor, 0) {
                prop_assert_eq!(&error.fields()[0].field, "cursor");
            }
        }
    }

    #[test]
    fn only_a_page_with_a_row_to_spare_has_a_next_one() {
        let page = Page::parse("", 2).unwrap();
        let row = |n: u128| Position { time: DateTime::UNIX_EPOCH, id: Uuid::from_u128(n) };
        assert_eq!(page.cut(vec![row(3), row(2)], |row| *row), (vec![row(3), row(2)], String::new()));
        let (rows, cursor) = page.cut(vec![row(3), row(2), row(1)], |row| *row);
        assert_eq!(rows, [row(3), row(2)]);
        assert_eq!(Page::parse(&cursor, 2).unwrap().after, Some(row(2)));
    }

    #[test]
    fn limits() {
        assert_eq!(Page::parse("", 0).unwrap().limit, 20);
        assert!(Page::parse("", 101).is_err());
        assert!(Page::parse("", -1).is_err());
    }
}
