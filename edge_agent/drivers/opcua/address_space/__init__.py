"""Finding nodes: namespaces, browse paths, and walks through a server."""
