"""Records for people and authorities: what is known of one contact point, in the forms that others read."""
