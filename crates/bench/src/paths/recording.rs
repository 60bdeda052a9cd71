//! What a service asks of PostgreSQL for one request, from PostgreSQL's own log: so a yardstick has the very statements of
//! the service, whatever those are by now.

use std::time::Duration;

use anyhow::{Result, bail};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::fleet::Fleet;

/// How often a request is made until PostgreSQL has taken over the setting.
const ATTEMPTS: u64 = 40;
const PAUSE: Duration = Duration::from_millis(100);
/// What separates the prefix of a line from what it says.
const PREFIX_END: &str = "|";

/// A statement that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// With `$1` and so on where parameters are.
    pub(super) text: String,
    /// The parameters as text.
    pub(super) parameters: Vec<Option<String>>,
    /// The types of the parameters.
    pub(super) types: Vec<String>,
}

/// The statements that `request` makes a service run on `database`; they are known by the ids `marks`, of which one is in
/// each of their transactions. `request` gets a number that grows with each attempt.
pub(super) async fn record(
    fleet: &Fleet,
    database: &str,
    marks: &[String],
    request: impl AsyncFn(u64) -> Result<()>,
) -> Result<Vec<Statement>> {
    let mut connection = fleet.connect("postgres").await?;
    sqlx::raw_sql("alter system set log_line_prefix = '%d %p|'").execute(&mut connection).await?;
    sqlx::raw_sql("alter system set log_statement = 'all'").execute(&mut connection).await?;
    sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
    let mut found = Vec::new();
    for attempt in 0..ATTEMPTS {
        let before = fleet.postgres_log()?.len();
        request(attempt).await?;
        tokio::time::sleep(PAUSE).await;
        found = statements(&fleet.postgres_log()?[before..], database, marks);
        if !found.is_empty() {
            break;
        }
    }
    sqlx::raw_sql("alter system reset log_statement").execute(&mut connection).await?;
    sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
    if found.is_empty() {
        bail!("PostgreSQL's log has no statement of the service on {database}");
    }
    let mut connection = fleet.connect(database).await?;
    for statement in &mut found {
        statement.types = types(&mut connection, statement).await?;
    }
    Ok(found)
}

/// The types of a statement's parameters, as PostgreSQL finds them.
async fn types(connection: &mut PgConnection, statement: &Statement) -> Result<Vec<String>> {
    if statement.parameters.is_empty() {
        return Ok(Vec::new());
    }
    let prepare = format!("prepare recorded as {}", statement.text);
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await?;
    let asked = "select parameter_types::text[] from pg_prepared_statements where name = 'recorded'";
    let types = sqlx::query_scalar(asked).fetch_one(&mut *connection).await?;
    sqlx::raw_sql("deallocate recorded").execute(connection).await?;
    Ok(types)
}

/// A line of the log with those that continue it.
struct Entry {
    process: String,
    level: String,
    message: String,
}

fn entries(log: &str, database: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in log.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if let Some(entry) = entries.last_mut() {
                entry.message += "\n";
                entry.message += more;
            }
            continue;
        }
        let Some((prefix, said)) = line.split_once(PREFIX_END) else { continue };
        let (Some((place, process)), Some((level, message))) = (prefix.split_once(' '), said.split_once(":  ")) else {
            continue;
        };
        // Lines of other databases are kept as well, because lines that follow may belong to them.
        let process = if place == database { process } else { "" };
        entries.push(Entry { process: process.to_owned(), level: level.to_owned(), message: message.to_owned() });
    }
    entries.retain(|entry| !entry.process.is_empty());
    entries
}

/// The statements of those transactions on `database` that contain one of `marks`, without types yet.
fn statements(log: &str, database: &str, marks: &[String]) -> Vec<Statement> {
    let mut transactions: Vec<(String, Vec<Statement>)> = Vec::new();
    for Entry { process, level, message } in entries(log, database) {
        let open = transactions.iter_mut().rev().find(|(owner, _)| *owner == process).map(|(_, statements)| statements);
        if level == "DETAIL" {
            if let Some(last) = open.and_then(|statements| statements.last_mut()) {
                last.parameters = parameters(&message);
            }
            continue;
        }
        let text =
            message.strip_prefix("statement: ").or_else(|| Some(message.strip_prefix("execute ")?.split_once(": ")?.1));
        let Some(text) = text.filter(|_| level == "LOG") else { continue };
        let statement = Statement { text: text.to_owned(), parameters: Vec::new(), types: Vec::new() };
        match open.filter(|statements| is_open(statements)) {
            Some(statements) => statements.push(statement),
            None => transactions.push((process, vec![statement])),
        }
    }
    let marked = |statement: &Statement| {
        let parameters = statement.parameters.iter().flatten().map(String::as_str);
        parameters.chain([statement.text.as_str()]).any(|text| marks.iter().any(|mark| text.contains(mark.as_str())))
    };
    let ours = transactions.into_iter().filter(|(_, statements)| statements.iter().any(marked));
    ours.flat_map(|(_, statements)| statements).collect()
}

/// Whether the statements begin a transaction and do not end it.
fn is_open(statements: &[Statement]) -> bool {
    let is = |statement: Option<&Statement>, words: &[&str]| {
        statement.is_some_and(|statement| words.iter().any(|word| statement.text.to_lowercase().starts_with(word)))
    };
    is(statements.first(), &["begin"]) && !is(statements.last(), &["commit", "rollback"])
}

/// The parameters in `parameters: $1 = 'it''s', $2 = NULL`.
fn parameters(detail: &str) -> Vec<Option<String>> {
    let mut found = Vec::new();
    let mut rest = detail;
    while let Some((_, value)) = rest.split_once(" = ") {
        let Some(quoted) = value.strip_prefix('\'') else {
            found.push(None);
            rest = value;
            continue;
        };
        let (mut text, mut from) = (String::new(), quoted);
        while let Some((before, after)) = from.split_once('\'') {
            text += before;
            from = after;
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    from = more;
                }
                None => break,
            }
        }
        found.push(Some(text));
        rest = from;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
lms 10|LOG:  execute sqlx_s_1: -- Stores.
\twith scope as (select $1)
\tselect $2
lms 10|DETAIL:  parameters: $1 = 'me', $2 = 'it''s = ''so''', $3 = NULL, $4 = '{a,b}'
lms 11|LOG:  execute <unnamed>: select seq from outbox
other 12|LOG:  statement: begin; set local app.tenant_id = 'me'
\tof another database
lms 13|LOG:  statement: begin; set local app.tenant_id = 'me'
lms 11|LOG:  statement: select 'others'
lms 13|LOG:  execute sqlx_s_2: insert into a values ($1)
lms 13|DETAIL:  Parameters: $1 = '1'
lms 13|LOG:  statement: COMMIT
lms 13|LOG:  statement: select 'later'
";

    #[test]
    fn the_transactions_of_a_request_are_found_among_others() {
        let found = statements(LOG, "lms", &["me".to_owned()]);
        let texts: Vec<_> = found.iter().map(|statement| statement.text.as_str()).collect();
        let whole = "-- Stores.\nwith scope as (select $1)\nselect $2";
        let begin = "begin; set local app.tenant_id = 'me'";
        assert_eq!(texts, [whole, begin, "insert into a values ($1)", "COMMIT"]);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found[0].parameters, [text("me"), text("it's = 'so'"), None, text("{a,b}")]);
        assert_eq!(found[2].parameters, [text("1")]);
    }
}
