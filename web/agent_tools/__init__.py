"""Tools for agents, by the Model Context Protocol: may I write, what goes into the message, they said no, what happened."""
