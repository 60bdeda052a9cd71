//! Finding known phrases in text: how text is cut into words, and a lexicon
//! that finds the longest phrases it knows. Knows nothing about skills or roles.

use std::collections::HashMap;

use serde::Deserialize;

/// Characters that separate the items of a list, line ends included.
const LIST_MARKS: &[char] = &[',', ';', '/', '|', '•', '·', '(', ')', '[', ']', ':', '*', '\n'];

/// One word of a text and what stands around it.
#[derive(Debug, Clone)]
pub(super) struct Word<'a> {
    pub(super) raw: &'a str,
    pub(super) lower: String,
    /// The nearest visible character before the word; a line end counts as one.
    before: char,
    /// The nearest visible character after the word; a line end counts as one.
    after: char,
    /// Joined to a neighbour, as the `R` of `R&D` and the `C` of `C-level` are.
    glued: bool,
}

impl Word<'_> {
    fn starts_sentence(&self) -> bool {
        matches!(self.before, '.' | '!' | '?' | '\n')
    }
}

/// Cuts `text` into words. Letters and digits make words, and so do `+` and `#`
/// (`C++`, `C#`) and a dot inside a word or before one (`Node.js`, `.NET`).
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut previous = ' ';
    let mut rest = text.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let next = rest.peek().map_or(' ', |&(_, next)| next);
        let inside = is_word_character(character)
            || (character == '.' && next.is_alphanumeric() && (start.is_some() || !previous.is_alphanumeric()));
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push(word(text, from, at));
                start = None;
            }
            _ => {}
        }
        previous = character;
    }
    if let Some(from) = start {
        found.push(word(text, from, text.len()));
    }
    found
}

/// The words of `text` in lower case with single spaces between them.
pub(super) fn normalise(text: &str) -> String {
    let lower: Vec<String> = words(text).into_iter().map(|word| word.lower).collect();
    lower.join(" ")
}

/// The words of `text` as a [`Keyword`] is looked for in them: [`normalise`]d, with a space at both ends.
pub(super) fn padded(text: &str) -> String {
    format!(" {} ", normalise(text))
}

/// A word or phrase to look for; a long one may be the beginning of a word. Kept as it stands in [`padded`] text.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Keyword(String);

impl From<String> for Keyword {
    fn from(keyword: String) -> Self {
        let keyword = normalise(&keyword);
        let end = if keyword.chars().count() < 4 { " " } else { "" };
        Self(format!(" {keyword}{end}"))
    }
}

impl Keyword {
    /// Whether `padded` text holds it.
    pub(super) fn is_in(&self, padded: &str) -> bool {
        padded.contains(&self.0)
    }
}

/// `text` as a key: lower case letters and digits joined by `_`, at most 64 characters.
pub(super) fn slug(text: &str) -> String {
    let joined = words(text).iter().map(|word| word.lower.replace('.', "_")).collect::<Vec<_>>().join("_");
    joined.chars().take(64).collect()
}

/// `1 result`, `2 results`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '+' || character == '#'
}

fn word(text: &str, from: usize, to: usize) -> Word<'_> {
    let (raw, head, tail) = (&text[from..to], &text[..from], &text[to..]);
    let visible = |character: &char| *character == '\n' || !character.is_whitespace();
    let is_glue = |character: char| matches!(character, '&' | '-' | '\'' | '’');
    Word {
        raw,
        lower: raw.to_lowercase(),
        before: head.chars().rev().find(visible).unwrap_or('\n'),
        after: tail.chars().find(visible).unwrap_or('\n'),
        glued: head.chars().next_back().is_some_and(is_glue) || tail.chars().next().is_some_and(is_glue),
    }
}

/// How strictly phrases that are also ordinary words (`Go`, `R`, `Excel`) are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// The text is known to name things: every phrase counts in any case.
    List,
    /// The text is a title or a wish in one sentence: an ambiguous phrase counts
    /// when written exactly as its name.
    Title,
    /// Running text: an ambiguous phrase counts when written exactly as its
    /// name in mid-sentence, or alone between list marks.
    Prose,
}

/// A phrase found in a text: what it means and which words it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) target: usize,
    pub(super) start: usize,
    pub(super) length: usize,
}

#[derive(Debug)]
struct Phrase {
    /// The words after the first.
    tail: Vec<String>,
    target: usize,
    /// Present for an ambiguous phrase: how it must be written in prose.
    exact: Option<String>,
}

/// Phrases and what each of them means (an index into the owner's list).
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    by_first_word: HashMap<String, Vec<Phrase>>,
}

impl Lexicon {
    /// Adds a phrase. Returns the target that already owns the same phrase, if
    /// another does; the first owner keeps it.
    pub(super) fn add(&mut self, phrase: &str, target: usize, ambiguous: bool) -> Option<usize> {
        let mut tail: Vec<String> = words(phrase).into_iter().map(|word| word.lower).collect();
        if tail.is_empty() {
            return None;
        }
        let first = tail.remove(0);
        let phrases = self.by_first_word.entry(first).or_default();
        if let Some(known) = phrases.iter().find(|known| known.tail == tail) {
            return (known.target != target).then_some(known.target);
        }
        phrases.push(Phrase { tail, target, exact: ambiguous.then(|| phrase.to_owned()) });
        phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.tail.len()));
        None
    }

    /// The phrases of `text` from left to right, the longest first where several
    /// start at the same word, without overlaps.
    pub(super) fn scan(&self, words: &[Word<'_>], context: Context) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut start = 0;
        while start < words.len() {
            match self.longest_at(words, start, context) {
                Some(hit) => {
                    start += hit.length;
                    hits.push(hit);
                }
                None => start += 1,
            }
        }
        hits
    }

    fn longest_at(&self, words: &[Word<'_>], start: usize, context: Context) -> Option<Hit> {
        let first = &words[start].lower;
        let phrases = self.by_first_word.get(first).or_else(|| {
            // `Java17`, `Vue3`: the same name with a version glued on.
            let bare = first.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            (bare.len() >= 3 && bare.len() < first.len()).then(|| self.by_first_word.get(bare)).flatten()
        })?;
        phrases
            .iter()
            .find(|phrase| {
                let rest = &words[start + 1..];
                rest.len() >= phrase.tail.len()
                    && phrase.tail.iter().zip(rest).all(|(a, b)| *a == b.lower)
                    && phrase.fits(&words[start], context)
            })
            .map(|phrase| Hit { target: phrase.target, start, length: phrase.tail.len() + 1 })
    }
}

impl Phrase {
    fn fits(&self, word: &Word<'_>, context: Context) -> bool {
        let Some(exact) = &self.exact else {
            return true;
        };
        match context {
            Context::List => return true,
            Context::Title => return word.raw == exact && !word.glued,
            Context::Prose => {}
        }
        let marked_before = LIST_MARKS.contains(&word.before);
        let marked_after = LIST_MARKS.contains(&word.after) || word.after == '.';
        let named = word.raw == exact && (!word.starts_sentence() || marked_after);
        !word.glued && (named || (marked_before && marked_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        let mut lexicon = Lexicon::default();
        for (target, (phrase, ambiguous)) in [
            ("c++", false),
            ("node.js", false),
            (".net", false),
            ("machine learning", false),
            ("machine", false),
            ("Go", true),
            ("R", true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(lexicon.add(phrase, target, ambiguous), None);
        }
        lexicon
    }

    fn targets(text: &str, context: Context) -> Vec<usize> {
        let hits = lexicon().scan(&words(text), context);
        hits.into_iter().map(|hit| hit.target).collect()
    }

    #[test]
    fn names_with_signs_and_dots_are_single_words() {
        assert_eq!(targets("C++, Node.js and .NET.", Context::Prose), [0, 1, 2]);
        assert_eq!(normalise("CI/CD  &  Node.js."), "ci cd node.js");
        assert_eq!(slug("Basket weaving (v2.1)"), "basket_weaving_v2_1");
    }

    #[test]
    fn the_longest_phrase_wins() {
        assert_eq!(targets("a machine learning model", Context::Prose), [3]);
        assert_eq!(targets("a washing machine", Context::Prose), [4]);
    }

    #[test]
    fn ambiguous_names_need_their_own_spelling_or_a_list() {
        assert_eq!(targets("I wrote services in Go.", Context::Prose), [5]);
        assert_eq!(targets("go, r, c++", Context::Prose), [5, 6, 0]);
        assert!(targets("Go to the office and let it go on", Context::Prose).is_empty());
        assert!(targets("Led R&D and a Go-to-market plan", Context::Prose).is_empty());
        assert_eq!(targets("go", Context::List), [5]);
    }

    #[test]
    fn a_version_glued_to_a_name_is_ignored() {
        assert_eq!(targets("Node.js18", Context::Prose), [1]);
    }

    #[test]
    fn a_phrase_has_one_owner() {
        let mut lexicon = lexicon();
        assert_eq!(lexicon.add("Node.JS", 42, false), Some(1));
        assert_eq!(lexicon.add("", 42, false), None);
    }
}
