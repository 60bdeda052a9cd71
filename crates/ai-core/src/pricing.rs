//! What models cost: US dollars per million tokens, by list price. A model that is not listed, such as one of one's own,
//! costs nothing.

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::provider::Tokens;

const PER: i64 = 1_000_000;
/// As stored: millionths of a dollar.
const DECIMALS: u32 = 6;

/// The price of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Dollars per million tokens read.
    input: Decimal,
    /// Dollars per million tokens written.
    output: Decimal,
}

impl Price {
    /// What `tokens` cost in dollars, rounded to millionths.
    pub fn of(&self, tokens: Tokens) -> Decimal {
        let cost = Decimal::from(tokens.prompt) * self.input + Decimal::from(tokens.completion) * self.output;
        (cost / Decimal::from(PER)).round_dp(DECIMALS)
    }
}

/// The embedded price list.
#[derive(Debug)]
pub struct Prices(Vec<Listed>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    model: String,
    input: Decimal,
    output: Decimal,
}

impl Prices {
    /// Reads the list that is compiled in.
    ///
    /// # Errors
    /// Where the list is malformed; a test excludes it.
    pub fn embedded() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("../data/prices.json")).map(Self)
    }

    /// The price of `model`; a dated version (`gpt-4o-2024-08-06`) costs what its model costs.
    pub fn find(&self, model: &str) -> Option<Price> {
        let named = |listed: &&Listed| {
            let rest = model.strip_prefix(&listed.model);
            rest.is_some_and(|rest| rest.is_empty() || is_date(rest))
        };
        self.0.iter().find(named).map(|listed| Price { input: listed.input, output: listed.output })
    }
}

/// `-2024-08-06` and the like.
fn is_date(suffix: &str) -> bool {
    suffix.starts_with('-') && suffix.chars().all(|c| c == '-' || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    #[test]
    fn the_cost_is_exact_to_a_millionth() {
        let price = Prices::embedded().unwrap().find("gpt-4o-mini").unwrap();
        let tokens = Tokens { prompt: 1_000, completion: 500 };
        assert_eq!(price.of(tokens), dec!(0.00045));
        assert_eq!(price.of(Tokens { prompt: 1, completion: 0 }), dec!(0));
        assert_eq!(Price::default().of(tokens), dec!(0));
    }

    #[test]
    fn dated_versions_have_the_price_of_their_model_and_other_names_none() {
        let prices = Prices::embedded().unwrap();
        assert_eq!(prices.find("gpt-4o-mini-2024-07-18"), prices.find("gpt-4o-mini"));
        assert_ne!(prices.find("gpt-4o-mini"), prices.find("gpt-4o"));
        assert_eq!(prices.find("llama-3"), None);
        assert_eq!(prices.find("gpt-4o-audio"), None);
    }
}
