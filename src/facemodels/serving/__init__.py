"""An HTTP server for one package: it knows no registry and no other version."""
