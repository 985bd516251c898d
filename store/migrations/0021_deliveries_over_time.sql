-- The list of deliveries, by whatever it is filtered, and the console's pictures of them are found in this index alone.
-- A delivery that changes its state gets a new entry in every index anyway, so what is held here besides costs little.
DROP INDEX deliveries_by_arrival;
CREATE INDEX deliveries_by_arrival ON deliveries (received_at DESC, id DESC) INCLUDE (source, state, error_code, processed_at);
