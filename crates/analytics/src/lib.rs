//! CareerOS analytics: KPIs, funnel, AI usage.
