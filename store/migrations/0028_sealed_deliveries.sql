-- The bytes of deliveries may be sealed (AI_WEBHOOK_ENCRYPTION_KEY): AES-256-GCM, 12 bytes of nonce before, 16 of tag
-- behind. A row is sealed with one key, which it names; PostgreSQL itself never has the key.

ALTER TABLE deliveries ADD COLUMN sealed_with text
    CONSTRAINT a_key_is_named_by_eight_hex_digits CHECK (sealed_with ~ '^[0-9a-f]{8}$'),
    ADD CONSTRAINT what_is_sealed_has_nonce_and_tag CHECK (sealed_with IS NULL OR octet_length(body) >= 28);
COMMENT ON COLUMN deliveries.sealed_with IS 'the key that body and fetched are sealed with, by its name; null: they are as they came';
COMMENT ON COLUMN deliveries.body IS
    'the request body byte for byte, unless sealed_with says otherwise; convert_from(body, ''UTF8'') reads it';
