"""From what a caller or a handset says to a call: contacts, evidence, locating, matching, AML."""
