"""The pages that a person reaches by the links in a message: what they chose, and the one button that ends it."""
