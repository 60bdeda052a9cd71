//! Makes a new migration file cause a rebuild; the macro that embeds them cannot.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/roadmap");
}
