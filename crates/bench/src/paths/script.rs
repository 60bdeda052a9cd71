//! The recorded statements of one request as a script of pgbench, in which every transaction is about other rows.
//!
//! Ids in the recorded parameters are replaced by expressions of pgbench's variables: `:u` is the number of a user, `:k` of
//! the user's request, `:n` of the transaction in the whole run. What is left of a parameter is a constant.

use std::fmt::Write as _;

use super::{numbered::Kind, recording::Statement};

/// Ids that a transaction makes at the most.
const MADE: u64 = 256;
const UUID: usize = 36;

/// Texts of the recording and the SQL expressions that stand for them.
pub(super) type Known = Vec<(String, String)>;

/// An SQL expression of the id of the number that pgbench's expression `number` gives, as text.
pub(super) fn id(kind: Kind, number: &str) -> String {
    format!("'{}' || lpad(to_hex(({number})::bigint), 12, '0')", kind.prefix())
}

/// The script, for so many users and clients.
pub(super) fn render(statements: &[Statement], known: &Known, users: usize, clients: u32) -> String {
    let mut script = format!(
        "\\set i :i + 1\n\\set n :client_id * 10000000 + :i\n\\set u (:i + :client_id * {users} / {clients}) % {users}\n\
         \\set k (:i / {users}) * {clients} + :client_id\n"
    );
    let mut replaced = Replaced { known, made: Vec::new() };
    for statement in statements {
        replaced.statement(statement, &mut script);
    }
    script
}

struct Replaced<'a> {
    known: &'a Known,
    /// Ids of the recording that every transaction makes anew.
    made: Vec<String>,
}

impl Replaced<'_> {
    fn statement(&mut self, statement: &Statement, script: &mut String) {
        let text = without_comments(&statement.text);
        if statement.parameters.is_empty() && text.contains(';') {
            // Sent as one: pgbench does that by a pipeline.
            script.push_str("\\startpipeline\n");
            for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
                let part = self.simple(part);
                // Writing to a string cannot fail.
                let _infallible = writeln!(script, "{part};");
            }
            script.push_str("\\endpipeline\n");
            return;
        }
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number = after[..digits].parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            script.push_str(before);
            match number.and_then(|number| Some((statement.parameters.get(number)?, statement.types.get(number)?))) {
                Some((Some(value), kind)) => {
                    let _infallible = write!(script, "({})::{kind}", self.value(value));
                }
                Some((None, kind)) => {
                    let _infallible = write!(script, "null::{kind}");
                }
                None => {
                    script.push('$');
                    script.push_str(&after[..digits]);
                }
            }
            rest = &after[digits..];
        }
        script.push_str(rest.trim_end());
        script.push_str(";\n");
    }

    /// A statement without parameters. PostgreSQL takes no expression in SET.
    fn simple(&mut self, text: &str) -> String {
        let set = text.strip_prefix("set local ").and_then(|set| set.split_once(" = "));
        match set {
            Some((name, value)) => {
                format!("select set_config('{name}', {}, true)", self.value(value.trim_matches('\'')))
            }
            None => text.to_owned(),
        }
    }

    /// A recorded value as an expression of type text.
    fn value(&mut self, value: &str) -> String {
        let (mut parts, mut constant, mut rest) = (Vec::new(), String::new(), value);
        while let Some(next) = rest.chars().next() {
            let known = self.known.iter().find(|(text, _)| rest.starts_with(text.as_str()));
            let (length, expression) = match known {
                Some((text, expression)) => (text.len(), expression.clone()),
                None if is_uuid(rest) => (UUID, self.made(&rest[..UUID])),
                None => {
                    constant.push(next);
                    rest = &rest[next.len_utf8()..];
                    continue;
                }
            };
            parts.extend(quoted(&constant));
            constant.clear();
            parts.push(expression);
            rest = &rest[length..];
        }
        parts.extend(quoted(&constant));
        if parts.is_empty() { "''".to_owned() } else { parts.join(" || ") }
    }

    fn made(&mut self, uuid: &str) -> String {
        let place = self.made.iter().position(|made| made == uuid).unwrap_or_else(|| {
            self.made.push(uuid.to_owned());
            self.made.len() - 1
        });
        id(Kind::Made, &format!(":n::bigint * {MADE} + {place}"))
    }
}

fn is_uuid(text: &str) -> bool {
    let shape = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() >= UUID && text.bytes().take(UUID).enumerate().all(shape)
}

/// A constant as SQL has it; pgbench takes a colon before letters for a variable, even here.
fn quoted(text: &str) -> Option<String> {
    let escaped = text.replace('\\', r"\\").replace('\'', "''").replace(':', r"\x3a").replace('\n', r"\n");
    (!text.is_empty()).then(|| format!("E'{escaped}'"))
}

/// The statement without `-- …`.
fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.split_once("--") {
        Some((code, _)) if code.matches('\'').count() % 2 == 0 => code.trim_end().to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "019ac000-0000-7000-8000-000000000001";
    const NEW: &str = "019ac000-0000-7000-8000-000000000002";

    fn rendered(text: &str, parameters: &[Option<&str>], types: &[&str]) -> String {
        let parameters = parameters.iter().map(|value| value.map(str::to_owned)).collect();
        let types = types.iter().map(|kind| (*kind).to_owned()).collect();
        let statement = Statement { text: text.to_owned(), parameters, types };
        let known = vec![(USER.to_owned(), id(Kind::User, ":u"))];
        let script = render(&[statement], &known, 200, 32);
        script.lines().skip(4).flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn ids_become_expressions_and_the_rest_a_constant() {
        let array = format!("{{{NEW},{NEW}}}");
        let json = format!(r#"{{"by":"{USER}","ok":true}}"#);
        let script = rendered(
            "insert into a -- of $1\nvalues ($1, $2::text, $3)",
            &[Some(&array), Some(&json), None],
            &["uuid[]", "text", "text"],
        );
        let made = "'01900000-0008-7000-8000-' || lpad(to_hex((:n::bigint * 256 + 0)::bigint), 12, '0')";
        let user = "'01900000-0001-7000-8000-' || lpad(to_hex((:u)::bigint), 12, '0')";
        let expected = format!(
            "insert into a\nvalues ((E'{{' || {made} || E',' || {made} || E'}}')::uuid[], \
             (E'{{\"by\"\\x3a\"' || {user} || E'\",\"ok\"\\x3atrue}}')::text::text, null::text);\n"
        );
        assert_eq!(script, expected);
    }

    #[test]
    fn what_was_sent_at_once_is_sent_at_once() {
        let script = rendered(&format!("begin; set local app.tenant_id = '{USER}'"), &[], &[]);
        let set = "select set_config('app.tenant_id', '01900000-0001-7000-8000-' || lpad(to_hex((:u)::bigint), 12, '0'), true)";
        assert_eq!(script, format!("\\startpipeline\nbegin;\n{set};\n\\endpipeline\n"));
    }
}
