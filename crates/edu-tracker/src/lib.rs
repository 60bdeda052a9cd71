//! CareerOS edu-tracker: learning progress, streaks, mastery.
