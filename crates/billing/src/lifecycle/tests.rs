use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

fn day(day: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(day)
}

const AT_END: News = News::Canceled { at_period_end: true };
const AT_ONCE: News = News::Canceled { at_period_end: false };

fn renewed(until: i64) -> News {
    News::Renewed { period_end: day(until) }
}

/// A subscription that begins on day 0 with a period of 30 days hears `news` on the days given and is then `expected` on
/// the days given.
#[track_caller]
fn check(standing: Standing, news: &[(i64, News)], expected: &[(i64, Status)]) {
    let state = told(standing, news);
    for (at, status) in expected {
        assert_eq!(state.status(day(*at)), *status, "day {at}");
    }
}

#[test]
fn a_period_that_nobody_renews_ends() {
    check(Standing::Active, &[], &[(0, Status::Active), (29, Status::Active), (30, Status::Expired)]);
    check(Standing::Trial, &[], &[(29, Status::Trial), (30, Status::Expired)]);
}

#[test]
fn a_renewal_sets_the_period_even_where_it_comes_late() {
    check(Standing::Active, &[(29, renewed(60))], &[(30, Status::Active), (59, Status::Active), (60, Status::Expired)]);
    check(Standing::Active, &[(35, renewed(60))], &[(36, Status::Active), (60, Status::Expired)]);
    check(Standing::Active, &[(20, renewed(10))], &[(20, Status::Expired)]);
    check(Standing::Trial, &[(9, renewed(60))], &[(10, Status::Active), (60, Status::Expired)]);
}

#[test]
fn a_cancellation_waits_for_the_period_to_end_unless_it_is_at_once() {
    check(Standing::Active, &[(9, AT_END)], &[(29, Status::Active), (30, Status::Canceled), (99, Status::Canceled)]);
    check(Standing::Active, &[(9, AT_ONCE)], &[(9, Status::Canceled)]);
}

#[test]
fn a_cancellation_can_be_withdrawn() {
    check(Standing::Active, &[(9, AT_END), (10, News::Resumed)], &[(29, Status::Active), (30, Status::Expired)]);
    check(Standing::Active, &[(9, AT_END), (29, renewed(60))], &[(59, Status::Active), (60, Status::Expired)]);
}

#[test]
fn a_failed_payment_has_a_week_of_grace() {
    let failed = (29, News::PaymentFailed);
    check(Standing::Active, &[failed], &[(29, Status::PastDue), (36, Status::PastDue), (37, Status::Expired)]);
    check(Standing::Active, &[failed, (29, AT_END)], &[(29, Status::PastDue), (30, Status::Canceled)]);
    check(
        Standing::Active,
        &[(9, News::PaymentFailed), (12, News::Paid)],
        &[(29, Status::Active), (30, Status::Expired)],
    );
}

#[test]
fn a_payment_bridges_the_time_until_word_of_its_period() {
    let late = [(29, News::PaymentFailed), (33, News::Paid)];
    check(Standing::Active, &late, &[(33, Status::Active), (39, Status::Active), (40, Status::Expired)]);
    check(Standing::Active, &[(33, News::Paid), (34, renewed(60))], &[(59, Status::Active), (60, Status::Expired)]);
    check(Standing::Trial, &[(9, News::Paid)], &[(10, Status::Active), (30, Status::Expired)]);
}

#[test]
fn older_news_undoes_nothing() {
    for (newer, older) in [
        (renewed(60), renewed(45)),
        (AT_END, renewed(30)),
        (AT_ONCE, renewed(60)),
        (renewed(60), AT_END),
        (renewed(60), AT_ONCE),
        (News::Resumed, AT_END),
        (News::Paid, News::PaymentFailed),
        (News::PaymentFailed, News::Paid),
    ] {
        let mut state = State::new(Standing::Active, day(30));
        state.hear(newer, day(20));
        let before = state;
        state.hear(older, day(10));
        assert_eq!(view(state), view(before), "{older:?} after {newer:?}");
    }
}

/// The facts without the times that they rest on.
fn view(state: State) -> (Standing, DateTime<Utc>, bool) {
    (state.standing, state.period_end, state.cancel_at_period_end)
}

fn standings() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Standing::Trial), Just(Standing::Active), Just(Standing::PastDue)]
}

fn news() -> impl Strategy<Value = News> {
    prop_oneof![
        (0..200_i64).prop_map(renewed),
        Just(News::Resumed),
        Just(AT_END),
        Just(AT_ONCE),
        Just(News::Paid),
        Just(News::PaymentFailed),
    ]
}

fn told(standing: Standing, history: &[(i64, News)]) -> State {
    let mut state = State::new(standing, day(30));
    for (at, news) in history {
        state.hear(*news, day(*at));
    }
    state
}

proptest! {
    /// Each piece of news happens at its place in `news`, so no two happen at once; it arrives in any order, some of it
    /// twice.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        standing in standings(),
        news in vec(news(), 1..8),
        swaps in vec((any::<Index>(), any::<Index>()), 0..16),
        again in vec(any::<Index>(), 0..4),
    ) {
        let history: Vec<_> = (1_i64..).step_by(7).zip(news).collect();
        let mut arrivals = history.clone();
        arrivals.extend(again.iter().map(|index| history[index.index(history.len())]));
        for (a, b) in swaps {
            let count = arrivals.len();
            arrivals.swap(a.index(count), b.index(count));
        }
        prop_assert_eq!(told(standing, &history), told(standing, &arrivals));
    }

    #[test]
    fn nothing_lives_longer_than_its_period_and_one_grace(standing in standings(), news in vec(news(), 0..8)) {
        let history: Vec<_> = (1_i64..).step_by(7).zip(news).collect();
        let state = told(standing, &history);
        let last = state.payment_known_at.map_or(state.period_end, |paid_at| paid_at.max(state.period_end));
        prop_assert!(!state.status(last + GRACE).is_live());
    }

    #[test]
    fn time_alone_never_brings_one_back(
        standing in standings(),
        news in vec(news(), 0..8),
        earlier in 0..300_i64,
        days in 0..300_i64,
    ) {
        let history: Vec<_> = (1_i64..).step_by(7).zip(news).collect();
        let state = told(standing, &history);
        let (before, after) = (state.status(day(earlier)), state.status(day(earlier + days)));
        prop_assert!(before.is_live() || before == after);
    }

    #[test]
    fn a_cancellation_entitles_until_the_period_ends_and_no_longer(standing in standings(), at in 0..29_i64, ask in 0..60_i64) {
        let state = told(standing, &[(at, AT_END)]);
        prop_assert_eq!(state.status(day(ask)).is_live(), ask < 30);
    }
}
