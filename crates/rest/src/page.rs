//! Which part of a list.

use serde::Deserialize;
use utoipa::IntoParams;

/// The query of a paged list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The `next_cursor` of an earlier answer.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many; 20 where it is not sent.
    #[param(minimum = 1, maximum = 100, default = 20, example = 20, nullable = false)]
    limit: Option<i32>,
}

impl Page {
    /// Cursor and limit as the RPCs have them: empty and 0 where they were not sent.
    pub(crate) fn into_parts(self) -> (String, i32) {
        (self.cursor.unwrap_or_default(), self.limit.unwrap_or_default())
    }
}
