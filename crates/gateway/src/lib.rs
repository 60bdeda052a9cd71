//! CareerOS API gateway: the whole REST surface under /v1.
