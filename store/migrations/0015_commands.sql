-- A command that a client sent to be run, which no text of a transcript can become: the column is written once, when a
-- delivery of the native clients makes the task, and by nobody else.

ALTER TABLE tasks ADD COLUMN command jsonb,
    ADD CONSTRAINT a_command_comes_of_no_memory CHECK (command IS NULL OR memory IS NULL);
COMMENT ON COLUMN tasks.command IS 'what a native client wants run: {"argv": […], "working_dir", "timeout"}; never changed';

CREATE FUNCTION check_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'The command of task % is what its client sent, and does not change.', NEW.id USING ERRCODE = 'AW006';
    ELSIF NOT EXISTS (SELECT FROM deliveries d WHERE d.id = NEW.delivery AND d.source = 'native') THEN
        RAISE EXCEPTION 'A command has to come of a delivery of the native clients.' USING ERRCODE = 'AW006';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new_command BEFORE INSERT ON tasks
    FOR EACH ROW WHEN (NEW.command IS NOT NULL) EXECUTE FUNCTION check_command();
CREATE TRIGGER check_command BEFORE UPDATE ON tasks
    FOR EACH ROW WHEN (OLD.command IS DISTINCT FROM NEW.command) EXECUTE FUNCTION check_command();
