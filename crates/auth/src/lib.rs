//! CareerOS auth service: accounts, tokens, sessions, roles.
