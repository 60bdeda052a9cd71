//! CareerOS roadmap service: goals, roadmaps, drafts.
