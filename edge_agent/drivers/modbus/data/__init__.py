"""What registers can hold, and how people write where: types, no-values, addresses. Pure."""
