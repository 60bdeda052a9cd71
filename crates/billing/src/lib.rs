//! CareerOS subscription billing: plans, subscriptions, entitlements.
