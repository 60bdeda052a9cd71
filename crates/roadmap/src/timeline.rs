//! Timelines: which days a roadmap's stages take and when its milestones are due. Pure rules over calendar dates.

use chrono::{Days, NaiveDate};

/// A milestone is set for each of these many days of a stage that have begun.
const MILESTONE_DAYS: usize = 28;
/// Milestones of a stage at the most.
const MILESTONES_MAX: usize = 6;

/// Days from `start` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: NaiveDate,
    pub(crate) end: NaiveDate,
}

impl Span {
    fn days(self) -> Vec<NaiveDate> {
        self.start.iter_days().take_while(|day| *day <= self.end).collect()
    }

    fn holds(self, day: NaiveDate) -> bool {
        (self.start..=self.end).contains(&day)
    }
}

/// A stage as the timeline sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) span: Span,
    pub(crate) finished: bool,
}

/// The `weeks` from `start`.
pub(crate) fn whole(start: NaiveDate, weeks: u16) -> Span {
    let last = Days::new((u64::from(weeks) * 7).saturating_sub(1));
    Span { start, end: start.checked_add_days(last).unwrap_or(start) }
}

/// Divides `whole` into `parts` stages that follow one another without a gap, differ by a day at the most and together
/// take all of it. There have to be at least as many days as parts.
pub(crate) fn plan(whole: Span, parts: usize) -> Vec<Span> {
    let days = whole.days();
    let bound = |part: usize| part * days.len() / parts;
    (0..parts).map(|part| Span { start: days[bound(part)], end: days[bound(part + 1) - 1] }).collect()
}

/// The milestones of a stage called `title`: what they are called and when they are due, the last one on the last day.
pub(crate) fn milestones(title: &str, span: Span) -> Vec<(String, NaiveDate)> {
    let count = span.days().len().div_ceil(MILESTONE_DAYS).clamp(1, MILESTONES_MAX);
    let name = |number: usize| {
        if number == count { format!("{title}: finished") } else { format!("{title}: part {number} of {count}") }
    };
    (1..=count).map(name).zip(due_dates(span, count)).collect()
}

/// `count` due dates spread over `span`, the last one on its last day.
pub(crate) fn due_dates(span: Span, count: usize) -> Vec<NaiveDate> {
    let days = span.days();
    (1..=count).map(|number| days[(number * days.len()).div_ceil(count) - 1]).collect()
}

/// Where the stages lie once what is left is planned anew as of `today`.
///
/// As long as no unfinished stage is overdue the plan stands. Else the unfinished ones share, in their order, the days from
/// today to `target_end` that no finished one takes; where there are too few days left, each gets one and the timeline grows
/// by as many as are missing. Finished stages stay where they were, and a stage that is under way keeps its first day.
pub(crate) fn recalculate(stages: &[Planned], today: NaiveDate, target_end: NaiveDate) -> Vec<Span> {
    let mut spans: Vec<Span> = stages.iter().map(|stage| stage.span).collect();
    let open: Vec<usize> = (0..stages.len()).filter(|&at| !stages[at].finished).collect();
    if open.iter().all(|&at| spans[at].end >= today) {
        return spans;
    }
    let days = free_days(stages, today, target_end, open.len());
    let mut days = days.as_slice();
    for (done, &at) in open.iter().enumerate() {
        let share = days.len() / (open.len() - done);
        let length = consecutive(&days[..share]);
        spans[at] = Span { start: days[0], end: days[length - 1] };
        days = &days[length..];
    }
    if let Some(&first) = open.first()
        && spans[first].start == today
        && was_under_way(stages, first, today)
    {
        spans[first].start = stages[first].span.start;
    }
    spans
}

/// The days from `today` that no finished stage takes: those up to `target_end`, and at least `needed`.
fn free_days(stages: &[Planned], today: NaiveDate, target_end: NaiveDate, needed: usize) -> Vec<NaiveDate> {
    let taken = |day: &NaiveDate| stages.iter().any(|stage| stage.finished && stage.span.holds(*day));
    let left = today.iter_days().take_while(|day| *day <= target_end).filter(|day| !taken(day)).count();
    today.iter_days().filter(|day| !taken(day)).take(left.max(needed)).collect()
}

/// How many of `days` follow one another, from the first.
fn consecutive(days: &[NaiveDate]) -> usize {
    1 + days.windows(2).take_while(|pair| pair[0].succ_opt() == Some(pair[1])).count()
}

/// Whether the stage `at` began before `today`, and no finished stage came in between.
fn was_under_way(stages: &[Planned], at: usize, today: NaiveDate) -> bool {
    let start = stages[at].span.start;
    let interrupted = stages.iter().any(|other| other.finished && other.span.start < today && other.span.end >= start);
    start < today && !interrupted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 6).unwrap() + Days::new(number)
    }

    fn overlap(a: Span, b: Span) -> bool {
        a.start <= b.end && b.start <= a.end
    }

    fn span(start: u64, end: u64) -> Span {
        Span { start: day(start), end: day(end) }
    }

    #[test]
    fn twelve_weeks_in_four_stages_are_three_weeks_each() {
        let spans = plan(whole(day(0), 12), 4);
        assert_eq!(spans, [span(0, 20), span(21, 41), span(42, 62), span(63, 83)]);
    }

    #[test]
    fn long_stages_have_milestones_on_the_way() {
        let names: Vec<_> = milestones("Projects", span(0, 62)).into_iter().collect();
        assert_eq!(
            names,
            [
                ("Projects: part 1 of 3".to_owned(), day(20)),
                ("Projects: part 2 of 3".to_owned(), day(41)),
                ("Projects: finished".to_owned(), day(62)),
            ]
        );
        assert_eq!(milestones("Week", span(3, 3)), [("Week: finished".to_owned(), day(3))]);
    }

    #[test]
    fn an_overdue_stage_goes_on_and_the_others_make_room() {
        let stage = |start, end, finished| Planned { span: span(start, end), finished };
        let stages = [stage(0, 20, true), stage(21, 41, false), stage(42, 62, false), stage(63, 83, false)];
        assert_eq!(recalculate(&stages, day(30), day(83)), stages.map(|stage| stage.span), "nothing is overdue");
        let moved = recalculate(&stages, day(45), day(83));
        assert_eq!(moved, [span(0, 20), span(21, 57), span(58, 70), span(71, 83)]);
        let late = recalculate(&stages, day(100), day(83));
        assert_eq!(late, [span(0, 20), span(21, 100), span(101, 101), span(102, 102)]);
    }

    #[test]
    fn what_was_finished_ahead_of_its_time_stays_there() {
        let stage = |start, end, finished| Planned { span: span(start, end), finished };
        let stages = [stage(0, 20, true), stage(21, 41, false), stage(42, 62, true), stage(63, 83, false)];
        let moved = recalculate(&stages, day(42), day(83));
        assert_eq!(moved, [span(0, 20), span(63, 72), span(42, 62), span(73, 83)]);
    }

    proptest! {
        #[test]
        fn a_plan_takes_exactly_its_weeks(weeks in 1_u16..=520, parts in 1_usize..=20) {
            let whole = whole(day(0), weeks);
            prop_assume!(parts <= usize::from(weeks) * 7);
            let spans = plan(whole, parts);
            prop_assert_eq!(spans[0].start, whole.start);
            prop_assert_eq!(spans[parts - 1].end, day(u64::from(weeks) * 7 - 1));
            for span in &spans {
                prop_assert!(span.start <= span.end);
                let milestones = milestones("x", *span);
                prop_assert!(milestones.iter().all(|(_, due)| span.holds(*due)));
                prop_assert!(milestones.is_sorted_by_key(|(_, due)| *due));
                prop_assert_eq!(milestones.last().unwrap().1, span.end);
            }
            for pair in spans.windows(2) {
                prop_assert_eq!(pair[0].end.succ_opt(), Some(pair[1].start));
            }
        }

        /// A roadmap lives on: days pass, stages are finished in any order, and now and then it is recalculated.
        #[test]
        fn recalculation_keeps_its_laws(
            weeks in 1_u16..=30,
            parts in 1_usize..=7,
            life in prop::collection::vec((0_u64..60, prop::option::of(0_usize..7)), 1..12),
        ) {
            let target = whole(day(0), weeks);
            let mut stages: Vec<Planned> =
                plan(target, parts).into_iter().map(|span| Planned { span, finished: false }).collect();
            let mut now = 0;
            for (passed, finished) in life {
                now += passed;
                let today = day(now);
                if let Some(at) = finished.filter(|at| *at < parts) {
                    stages[at].finished = true;
                }
                let before = stages.clone();
                let after = recalculate(&before, today, target.end);
                for (stage, span) in stages.iter_mut().zip(&after) {
                    stage.span = *span;
                }
                prop_assert_eq!(recalculate(&stages, today, target.end), after.clone(), "idempotent");
                check_laws(&before, &after, today, target.end)?;
            }
        }
    }

    fn check_laws(
        before: &[Planned],
        after: &[Span],
        today: NaiveDate,
        target_end: NaiveDate,
    ) -> Result<(), TestCaseError> {
        let open: Vec<Span> = before.iter().zip(after).filter(|(stage, _)| !stage.finished).map(|(_, s)| *s).collect();
        let finished: Vec<Span> =
            before.iter().zip(after).filter(|(stage, _)| stage.finished).map(|(_, s)| *s).collect();
        for (stage, span) in before.iter().zip(after) {
            if stage.finished {
                prop_assert_eq!(stage.span, *span, "finished work stays");
            }
        }
        prop_assert!(open.iter().all(|span| span.start <= span.end && span.end >= today), "a day or more to go");
        prop_assert!(open.windows(2).all(|pair| pair[0].end < pair[1].start), "in order, without overlap");
        prop_assert!(open.iter().all(|a| finished.iter().all(|b| !overlap(*a, *b))), "no overlap with finished work");
        let overdue = before.iter().any(|stage| !stage.finished && stage.span.end < today);
        if !overdue {
            prop_assert!(before.iter().zip(after).all(|(stage, span)| stage.span == *span), "the plan stands");
        }
        let free = free_days(before, today, target_end, 0);
        if overdue && free.len() >= open.len() {
            prop_assert!(open.iter().all(|span| span.end <= target_end), "fits in what is left");
        } else if overdue {
            let used: usize = open.iter().map(|span| span.days().iter().filter(|day| **day >= today).count()).sum();
            prop_assert_eq!(used, open.len(), "extended by no more than needed");
        }
        Ok(())
    }
}
