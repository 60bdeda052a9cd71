//! All nine services together, as one process and as nine: the journey with its events, restarts, outages, bad requests.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod events;
#[cfg(test)]
mod fire;
#[cfg(test)]
mod journey;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod observability;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod production;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod support;
