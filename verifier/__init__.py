"""The offline verifier: what a stranger runs. Needs the files, a verifier key and the rules; neither database nor network."""
