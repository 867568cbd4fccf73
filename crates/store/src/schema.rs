//! Whether a database has exactly the schema of this program, for whoever must not change it.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

/// Refuses a schema that is older, newer or another, and changes nothing.
pub(crate) async fn check_schema(connection: &mut impl Migrate, migrations: &Migrator) -> Result<(), MigrateError> {
    let applied = connection.list_applied_migrations(&migrations.table_name).await?;
    for migration in migrations.iter() {
        match applied.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if applied.checksum == migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
            None => return Err(MigrateError::VersionNotPresent(migration.version)),
        }
    }
    match applied.iter().find(|applied| !migrations.version_exists(applied.version)) {
        Some(newer) => Err(MigrateError::VersionMissing(newer.version)),
        None => Ok(()),
    }
}
