"""How each kind of rule makes triples; ``extract`` runs them and joins what they make."""
