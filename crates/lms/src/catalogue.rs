//! The catalogue: published courses, newest first, and finding them by words.

use careeros_shared::{
    Result,
    db::Db,
    page::{Page, Position},
    proto::lms::{CourseSummary, ListCoursesRequest, ListCoursesResponse},
    validate::Checks,
};
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{access::Viewer, courses::price_text};

/// The longest search in characters.
const QUERY_MAX: usize = 200;
/// Among so many of the newest courses a search looks before it asks the index of words.
const RECENT: i64 = 1000;

#[derive(Debug)]
struct Entry {
    course_id: Uuid,
    owner_id: Uuid,
    title: String,
    description: String,
    price_usd: Decimal,
    visibility: String,
    published_at: DateTime<Utc>,
}

impl From<Entry> for CourseSummary {
    fn from(entry: Entry) -> Self {
        Self {
            course_id: entry.course_id.to_string(),
            title: entry.title,
            description: entry.description,
            instructor_id: entry.owner_id.to_string(),
            is_published: true,
            price_usd: price_text(entry.price_usd),
            visibility: entry.visibility,
            published_at: entry.published_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }
}

/// A page of the published courses that the viewer may see: all tenants' public ones and those of the viewer's tenant.
/// With `q`, those whose title and description have words that begin with each of its words.
///
/// # Errors
/// 400 naming `q`, `cursor` or `limit`.
pub async fn list(db: &Db, viewer: Viewer, request: &ListCoursesRequest) -> Result<ListCoursesResponse> {
    let page = Page::parse(&request.cursor, request.limit)?;
    let mut checks = Checks::new();
    checks.text("q", &request.q, 0, QUERY_MAX);
    checks.finish()?;
    let rows = match to_tsquery(&request.q) {
        None => newest(db, viewer, &page).await?,
        Some(query) => search(db, viewer, &page, &query).await?,
    };
    let (rows, next_cursor) = page.cut(rows, |row| Position { time: row.published_at, id: row.course_id });
    Ok(ListCoursesResponse { items: rows.into_iter().map(CourseSummary::from).collect(), next_cursor })
}

// The two are apart because a statement that may or may not search is planned for neither: it would read the catalogue from
// its newest course to the page that is asked for, or to the last match.

/// The page without a search.
async fn newest(db: &Db, viewer: Viewer, page: &Page) -> Result<Vec<Entry>> {
    let rows = sqlx::query_as!(
        Entry,
        r#"select c.course_id as "course_id!", c.owner_id as "owner_id!", c.title as "title!",
                  c.description as "description!", c.price_usd as "price_usd!", c.visibility as "visibility!",
                  c.published_at as "published_at!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               (select course_id, owner_id, title, description, price_usd, 'PUBLIC' as visibility, published_at
                from catalogue
                where (published_at, course_id) < ($2, $3)
                order by published_at desc, course_id desc limit $4)
               union all
               (select id, owner_id, title, description, price_usd, visibility, published_at
                from courses
                where tenant_id = scope.tenant_id and visibility = 'TENANT' and status = 'PUBLISHED'
                    and deleted_at is null
                    and (published_at, id) < ($2, $3)
                order by published_at desc, id desc limit $4)
               offset 0
           ) c
           order by c.published_at desc, c.course_id desc limit $4"#,
        viewer.tenant_id,
        page.before().time,
        page.before().id,
        page.fetch(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// The page of those that match `query`.
///
/// A word that many courses have is found among the newest ones, where the page is full after some rows. Where it is not,
/// the word is rare, and the index of words finds all that have it.
async fn search(db: &Db, viewer: Viewer, page: &Page, query: &str) -> Result<Vec<Entry>> {
    let rows = sqlx::query_as!(
        Entry,
        r#"select c.course_id as "course_id!", c.owner_id as "owner_id!", c.title as "title!",
                  c.description as "description!", c.price_usd as "price_usd!", c.visibility as "visibility!",
                  c.published_at as "published_at!"
           from app_scope($1) scope(tenant_id)
           cross join lateral (
               (with recent as materialized (
                    select * from (
                        select * from catalogue
                        where (published_at, course_id) < ($3, $4)
                        order by published_at desc, course_id desc limit $6
                    ) newest
                    where search @@ to_tsquery('simple', $2)
                    order by published_at desc, course_id desc limit $5
                ), page_size as materialized (
                    select count(*) as found from recent
                )
                select course_id, owner_id, title, description, price_usd, 'PUBLIC' as visibility, published_at
                from recent where (select found from page_size) = $5
                union all
                (select course_id, owner_id, title, description, price_usd, 'PUBLIC', published_at
                 from (select * from catalogue where search @@ to_tsquery('simple', $2) offset 0) matching
                 where (select found from page_size) < $5
                     and (published_at, course_id) < ($3, $4)
                 order by published_at desc, course_id desc limit $5))
               union all
               (select id, owner_id, title, description, price_usd, visibility, published_at
                from courses
                where tenant_id = scope.tenant_id and visibility = 'TENANT' and status = 'PUBLISHED'
                    and deleted_at is null and search @@ to_tsquery('simple', $2)
                    and (published_at, id) < ($3, $4)
                order by published_at desc, id desc limit $5)
               offset 0
           ) c
           order by c.published_at desc, c.course_id desc limit $5"#,
        viewer.tenant_id,
        query,
        page.before().time,
        page.before().id,
        page.fetch(),
        RECENT,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// The search as a PostgreSQL text query: every word as the beginning of one. `None` where nothing is searched for, and
/// an empty query, which finds nothing, where there is no word in it.
fn to_tsquery(q: &str) -> Option<String> {
    if q.trim().is_empty() {
        return None;
    }
    // As `search_words` in the migrations cuts up what is searched. No quote is left to break out of.
    let words = q.split(|c: char| c.is_ascii_punctuation() || c.is_whitespace()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| format!("'{word}':*")).collect();
    Some(words.join(" & "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_separates_words_and_is_never_part_of_the_query() {
        assert_eq!(to_tsquery("node.js  Web-Dev").as_deref(), Some("'node':* & 'js':* & 'Web':* & 'Dev':*"));
        assert_eq!(to_tsquery("rust' | !x:*\\").as_deref(), Some("'rust':* & 'x':*"));
        assert_eq!(to_tsquery("?!").as_deref(), Some(""));
        assert_eq!(to_tsquery("  "), None);
    }
}
