//! A subscription's life: the facts known of it, what news changes, and what follows from the facts at a given time.
//!
//! Nothing here is a sequence of steps. Each fact rests on the newest news about it, so that the state is a function of
//! the set of news whatever the order in which it arrives, and the status is a function of the facts and the time, so that
//! a period's end needs nobody to notice it:
//!
//! - live (on trial, active or past due, as the payments say) until the [`State::deadline`];
//! - from then on canceled where it was canceled, else expired, until news brings it back.

use chrono::{DateTime, TimeDelta, Utc};

/// How long a subscription outlives its period where the payment provider is still at it: after a failed payment, which
/// it tries again, and after a payment that came before word of the period that it pays for.
pub const GRACE: TimeDelta = TimeDelta::days(7);

/// What the payments say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Standing {
    /// None is due yet.
    Trial,
    /// Paid.
    Active,
    /// The last one failed.
    PastDue,
}

impl Standing {
    /// As in requests, tables and events.
    pub fn as_str(self) -> &'static str {
        Status::from(self).as_str()
    }

    /// The standing written `text`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Trial, Self::Active, Self::PastDue].into_iter().find(|standing| standing.as_str() == text)
    }
}

/// What a subscription is at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Live, no payment is due yet.
    Trial,
    /// Live and paid.
    Active,
    /// Live, although the last payment failed.
    PastDue,
    /// Ended as it was canceled.
    Canceled,
    /// Ended as nobody renewed it.
    Expired,
}

impl Status {
    /// As in answers, tables and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "TRIAL",
            Self::Active => "ACTIVE",
            Self::PastDue => "PAST_DUE",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Whether it entitles to what the plan includes.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Trial | Self::Active | Self::PastDue)
    }
}

impl From<Standing> for Status {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Trial => Self::Trial,
            Standing::Active => Self::Active,
            Standing::PastDue => Self::PastDue,
        }
    }
}

/// What may become known of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It was renewed until then.
    Renewed {
        /// The end of the new period.
        period_end: DateTime<Utc>,
    },
    /// It was activated again in its period: a cancellation is withdrawn, what was due is paid.
    Resumed,
    /// It was canceled.
    Canceled {
        /// False where it ended at once.
        at_period_end: bool,
    },
    /// A payment came in.
    Paid,
    /// A payment failed.
    PaymentFailed,
}

/// The facts, each with the time of the news that it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What the payments say.
    pub standing: Standing,
    /// Until when it is paid for or on trial.
    pub period_end: DateTime<Utc>,
    /// Whether it ends then.
    pub cancel_at_period_end: bool,
    /// When the newest news about the period happened.
    pub period_known_at: Option<DateTime<Utc>>,
    /// When the newest news about a cancellation happened.
    pub cancel_known_at: Option<DateTime<Utc>>,
    /// When the newest news about a payment happened.
    pub payment_known_at: Option<DateTime<Utc>>,
}

impl State {
    /// A subscription that begins.
    ///
    /// News is compared with news alone, not with this beginning: whatever names the subscription happened after it, even
    /// where the provider's clock disagrees.
    pub fn new(standing: Standing, period_end: DateTime<Utc>) -> Self {
        Self {
            standing,
            period_end,
            cancel_at_period_end: false,
            period_known_at: None,
            cancel_known_at: None,
            payment_known_at: None,
        }
    }

    /// Takes in news of what happened `at`. A fact that rests on newer news stays.
    pub fn hear(&mut self, news: News, at: DateTime<Utc>) {
        match news {
            News::Renewed { period_end } => {
                self.set_period_end(period_end, at);
                self.set_cancel(false, at);
                self.set_standing(Standing::Active, at);
            }
            News::Resumed => {
                self.set_cancel(false, at);
                self.set_standing(Standing::Active, at);
            }
            News::Canceled { at_period_end } => {
                self.set_cancel(true, at);
                if !at_period_end {
                    self.set_period_end(at, at);
                }
            }
            News::Paid => self.set_standing(Standing::Active, at),
            News::PaymentFailed => self.set_standing(Standing::PastDue, at),
        }
    }

    /// When it ends unless there is news.
    pub fn deadline(&self) -> DateTime<Utc> {
        match (self.standing, self.payment_known_at) {
            _ if self.cancel_at_period_end => self.period_end,
            (Standing::PastDue, _) => self.period_end + GRACE,
            (Standing::Active, Some(paid_at))
                if paid_at > self.period_end && self.payment_known_at > self.period_known_at =>
            {
                paid_at + GRACE
            }
            _ => self.period_end,
        }
    }

    /// What it is at `now`.
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        if now < self.deadline() {
            self.standing.into()
        } else if self.cancel_at_period_end {
            Status::Canceled
        } else {
            Status::Expired
        }
    }

    fn set_period_end(&mut self, period_end: DateTime<Utc>, at: DateTime<Utc>) {
        if is_newest(&mut self.period_known_at, at) {
            self.period_end = period_end;
        }
    }

    fn set_cancel(&mut self, cancel: bool, at: DateTime<Utc>) {
        if is_newest(&mut self.cancel_known_at, at) {
            self.cancel_at_period_end = cancel;
        }
    }

    fn set_standing(&mut self, standing: Standing, at: DateTime<Utc>) {
        if is_newest(&mut self.payment_known_at, at) {
            self.standing = standing;
        }
    }
}

/// Whether nothing newer than `at` is known, which is then noted. Of two at the same time the later arrival counts.
pub(crate) fn is_newest(known_at: &mut Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    let newest = known_at.is_none_or(|known| at >= known);
    if newest {
        *known_at = Some(at);
    }
    newest
}

#[cfg(test)]
mod tests;
