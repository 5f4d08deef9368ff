import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.util.ArrayList;
import java.util.List;

/** Prints which expressions the library of Kafka's coordinator takes, and which names they match. */
public class RegularExpressions {
    static final String[] NAMES = {"a", "aa", "ab", "aab", "b", "orders", "orders-eu", "orders.us", "Orders", "orders_1", "orders-2026-01",
        "__consumer_offsets", "abc", "0", "x1", "--", "..."};
    static final String[] EXPRESSIONS = {"a", "a*", "a+", "a?b", "a|b", ".*", ".+", "orders", "orders.*", "orders-.*", "orders\\..*", "^orders$",
        "(?i)orders", "(orders|a)", "(?:orders|a)", "(?P<name>a+)", "(?<name>a+)", "[a-c]+", "[^a-c]+", "[[:alpha:]]+", "[[:^alpha:]]+", "\\w+",
        "\\W+", "\\d", "\\D+", "\\s*", "\\pL+", "\\p{Greek}", "\\PL+", "\\Qorders.us\\E", "\\Qorders", "a{2}", "a{1,2}b", "a{2,}", "a{,2}", "a{1001}",
        "a{1000}", "(a{10}){11}", "(a|b)*?", "a*?", "a+?b", "a??", "a++", "a**", "(a", "a)", "[a", "*a", "a\\", "\\1", "(a)\\1", "a(?=b)ab",
        "(?!a)b", "(?<=a)b", "\\ba\\b", "\\Ba", "\\Aa\\z", "a\\Z", "a$", "\\x61", "\\x{61}", "\\u0061", "\\141", "\\a*", "\\h*", "\\Ra", "\\C", "\\X",
        "", "()", "|a", "a|", "(?s).*", "(?m)^a$", "(?U)a+", "(?x) a ", "(?-i)a", "(?i:A)", "[b-a]", "[]a]", "[a-]+", "[a\\-c]+", "[\\w.-]+",
        "[&&a]", "[a&&b]", "ä", "\\p{L}+", "\\p{IsLatin}+", "\\p{Alpha}", "(?P=name)", "(?#x)a", "(?>a)", "(?P<n>a)(?P<n>a)", "\\N", "\\e", "\\f*",
        "\\cA", "\\g", "\\_", "orders\\_1", "\\-", "orders\\-eu", "orders[-_.](eu|us|[0-9]+)"};

    public static void main(String[] arguments) {
        System.out.println("# Expressions as Kafka 4.4.0's RE2/J has them: expression, names that it matches as a whole (-: none; !: no expression).");
        System.out.println("# Names: " + String.join(" ", NAMES));
        System.out.println("# Made by tests/compatibility/group_testdata.py.");
        for (String expression : EXPRESSIONS) {
            List<String> matched = new ArrayList<>();
            String verdict;
            try {
                Pattern pattern = Pattern.compile(expression);
                for (String name : NAMES) if (pattern.matcher(name).matches()) matched.add(name);
                verdict = matched.isEmpty() ? "-" : String.join(" ", matched);
            } catch (PatternSyntaxException ex) {
                verdict = "!";
            }
            System.out.println(expression + "\t" + verdict);
        }
    }
}
