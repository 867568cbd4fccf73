//! Makes a new migration file count as a change of this crate; the macro that embeds them cannot say so itself.

fn main() {
    println!("cargo::rerun-if-changed=src/sqlite/migrations");
    println!("cargo::rerun-if-changed=src/postgres/migrations");
}
