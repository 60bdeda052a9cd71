//! The gateway as its clients see it, over the real user profile service in process; the other services are away.

#[cfg(test)]
mod support;

#[cfg(test)]
mod cors;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod shared_limits;
#[cfg(test)]
mod throttle;
