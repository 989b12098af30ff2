"""Foundation: configs, content ids, artifacts, workspaces, journal, schemas, access classes."""
