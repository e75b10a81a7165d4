"""What is added to a frozen base: one file a method; see docs/adapters.md."""
