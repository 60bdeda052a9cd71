use std::collections::BTreeSet;

use careeros_shared::testing::TestUser;
use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::Value;

use crate::{School, text};

async fn titles(school: &School, user: Option<&TestUser>, query: &str) -> Vec<String> {
    let token = user.map(|user| user.token.as_str()).unwrap_or_default();
    let listed = school.service.get(token, &format!("/lms/courses{query}")).await.expect(200);
    listed.json["items"].as_array().unwrap().iter().map(|course| text(&course["title"])).collect()
}

#[tokio::test]
async fn everybody_finds_public_courses_and_a_tenant_its_own_besides() {
    let school = School::new().await;
    for (title, visibility) in [("First", "PUBLIC"), ("Ours", "TENANT"), ("Second", "PUBLIC")] {
        school.course(title, visibility, 1).await;
        school.clock.advance(TimeDelta::seconds(1));
    }
    school.draft("Draft", "PUBLIC").await;
    for user in [None, Some(&school.stranger), Some(&school.foreign_admin)] {
        assert_eq!(titles(&school, user, "").await, ["Second", "First"]);
    }
    for user in [&school.instructor, &school.pupil] {
        assert_eq!(titles(&school, Some(user), "").await, ["Second", "Ours", "First"]);
    }
    school.service.get("not-a-token", "/lms/courses").await.expect(401);

    let listed = school.service.get("", "/lms/courses?limit=1").await.expect(200);
    let course = &listed.json["items"][0];
    assert_eq!(course["instructor_id"], school.instructor.id.to_string());
    assert_eq!((&course["is_published"], &course["price_usd"]), (&Value::Bool(true), &Value::from("19.99")));
    assert_eq!((&course["visibility"], &course["description"]), (&Value::from("PUBLIC"), &Value::from("")));
    assert_eq!(course["published_at"], "2026-01-06T12:00:02.000000Z");
}

#[tokio::test]
async fn courses_are_found_by_the_beginnings_of_their_words() {
    let school = School::new().await;
    for title in ["Rust for Web-Developers", "Node.js, quickly", "Основы Rust"] {
        school.course(title, "PUBLIC", 1).await;
    }
    school.course("Rust at our place", "TENANT", 1).await;
    for (query, found) in [
        ("rust", 2),
        ("RUST", 2),
        ("rus%20dev", 1),
        ("js", 1),
        ("node.js", 1),
        ("осн", 1),
        ("ust", 0),
        ("rust%20node", 0),
        ("", 3),
        ("%20", 3),
        ("%3F", 0),
        ("rust'%20%7C%20node", 0),
        ("x':*%20%7C%20'rust", 0),
    ] {
        assert_eq!(titles(&school, None, &format!("?q={query}")).await.len(), found, "{query}");
    }
    assert_eq!(titles(&school, Some(&school.pupil), "?q=rust%20pl").await, ["Rust at our place"]);
}

#[tokio::test]
async fn the_public_search_reads_its_index() {
    let school = School::new().await;
    school.course("Rust", "PUBLIC", 1).await;
    let mut tx = school.db.begin(school.pupil.tenant_id).await.unwrap();
    sqlx::query("set local enable_seqscan = off").execute(&mut *tx).await.unwrap();
    let search = "explain select course_id from catalogue where search @@ to_tsquery('simple', '''rust'':*')";
    let plan: Vec<String> = sqlx::query_scalar(search).fetch_all(&mut *tx).await.unwrap();
    assert!(plan.join("\n").contains("catalogue_search_idx"), "{plan:?}");
}

#[tokio::test]
async fn searches_find_what_lies_behind_more_courses_than_they_look_at_first() {
    let school = School::new().await;
    for title in ["Haskell", "Rust the first", "Rust the second"] {
        school.course(title, "PUBLIC", 1).await;
        school.clock.advance(TimeDelta::seconds(1));
    }
    school.course("Haskell at our place", "TENANT", 1).await;
    // A thousand and a half of newer ones: all in Rust, the newest in COBOL.
    sqlx::raw_sql(
        "with made as (
             insert into courses (id, tenant_id, instructor_id, owner_id, title, status, visibility, published_at, created_at)
             select gen_random_uuid(), tenant_id, instructor_id, owner_id,
                    case when n = 1500 then 'COBOL' else 'Rust again ' || n end, 'PUBLISHED', 'PUBLIC',
                    published_at + interval '1 day' * n, created_at
             from courses, generate_series(1, 1500) n where title = 'Haskell' returning *
         )
         insert into catalogue (course_id, owner_id, title, description, price_usd, published_at, search)
         select id, owner_id, title, description, price_usd, published_at, search from made",
    )
    .execute(&school.db.admin)
    .await
    .unwrap();
    assert_eq!(titles(&school, None, "?q=cobol").await, ["COBOL"]);
    assert_eq!(titles(&school, None, "?q=haskell").await, ["Haskell"]);
    assert_eq!(titles(&school, Some(&school.pupil), "?q=haskell").await, ["Haskell at our place", "Haskell"]);
    assert_eq!(titles(&school, None, "?q=rust%20second").await, ["Rust the second"]);
    assert_eq!(titles(&school, None, "?q=rust&limit=2").await, ["Rust again 1499", "Rust again 1498"]);
    let found = walk(&school, "", "/lms/courses", "&q=rust", 100).await;
    let found: Vec<String> = found.iter().map(|course| text(&course["title"])).collect();
    assert_eq!((found.len(), found[0].as_str(), found[1500].as_str()), (1501, "Rust again 1499", "Rust the first"));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let school = School::new().await;
    let long = "x".repeat(201);
    for (query, field) in [
        ("page=2", "page"),
        ("limit=0&limit=1", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("cursor=yesterday", "cursor"),
        ("q=a%00b", "q"),
        (&format!("q={long}"), "q"),
    ] {
        let answer = school.service.get("", &format!("/lms/courses?{query}")).await.expect(400);
        assert_eq!(answer.fields(), [field], "{query}: {}", answer.text);
    }
}

/// Every page of `path`, from the first to the one without a next; `more` belongs to the query.
async fn walk(school: &School, token: &str, path: &str, more: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = school.service.get(token, &format!("{path}?limit={limit}&cursor={cursor}{more}")).await.expect(200);
        let found = page.json["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        cursor = text(&page.json["next_cursor"]);
        if cursor.is_empty() {
            return items;
        }
        assert_eq!(found.len(), limit, "only the last page may be short");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Walking all pages finds every row once, newest first, whatever the page's length and however many rows share a time.
    #[test]
    fn a_walk_over_all_pages_finds_everything_once(
        seconds in proptest::collection::vec((0_i64..4, any::<bool>()), 0..14),
        limit in 1_usize..6,
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let school = School::new().await;
            let start = careeros_shared::testing::start();
            let mut made = BTreeSet::new();
            for (second, public) in &seconds {
                let (course_id, _) = school.course("Course", if *public { "PUBLIC" } else { "TENANT" }, 1).await;
                let at = start + TimeDelta::seconds(*second);
                for sql in [
                    "update courses set published_at = $2 where id = $1::uuid",
                    "update catalogue set published_at = $2 where course_id = $1::uuid",
                ] {
                    sqlx::query(sql).bind(&course_id).bind(at).execute(&school.db.admin).await.unwrap();
                }
                school.enroll(&school.pupil, &course_id).await;
                sqlx::query("update enrollments set enrolled_at = $2 where course_id = $1::uuid")
                    .bind(&course_id).bind(at).execute(&school.db.admin).await.unwrap();
                made.insert(course_id);
            }
            let token = &school.pupil.token;
            let enrollments = format!("/lms/enrollments/{}", school.pupil.id);
            for (path, time) in [("/lms/courses", "published_at"), (enrollments.as_str(), "enrolled_at")] {
                let walked = walk(&school, token, path, "", limit).await;
                let ids: BTreeSet<_> = walked.iter().map(|item| text(&item["course_id"])).collect();
                assert_eq!(walked.len(), seconds.len());
                assert_eq!(ids, made);
                let times: Vec<_> = walked.iter().map(|item| text(&item[time])).collect();
                assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
            }
        });
    }
}
